// Decode attention of one layer. Blocks stay: each goes through its pieces of the plan, its warps
// taking pages in turn, each warp with a pipeline of its own (no barrier but at a piece's end),
// which runs on into the next piece. A head of several pieces is put together by the block that
// finishes its last one.
//
// In flight while a warp computes: two sides of pages. Of an SM with 228 KiB of shared memory, in
// KiB (blocks x warps x 2 x side), bf16 and one byte: head_dim 64: 96 and 48; 80: 120 and 60; 96:
// 96 and 48; 128: 128 and 64. An H200 needs about 40 to 64 for its bandwidth.

#include <algorithm>

#include <cuda_runtime.h>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/decode_combine.cuh"
#include "cuda/kernels/decode_pages.cuh"
#include "cuda/kernels/decode_warp.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 32 * kAttentionWarps;
constexpr int kBuffers = 3;           // sides of pages, of each warp
constexpr int kReservedBytes = 1024;  // of shared memory, which CUDA takes for each block

template <int kDim>
struct Shape {
  static constexpr int kBufferBytes = side_bytes(KvFormat::bf16, kDim);
  static constexpr int kPipelineBytes = kAttentionWarps * kBuffers * kBufferBytes;
  static constexpr int kSharedBytes = kPipelineBytes + static_cast<int>(sizeof(Merge<kDim>));
  // What the 228 KiB of an SM of sm_90 hold.
  static constexpr int kBlocksPerSm = 228 * 1024 / (kSharedBytes + kReservedBytes);
  static_assert(kBlocksPerSm >= 2);
  static_assert(side_bytes(KvFormat::int8, kDim) + 2 * kPageTokens <= kBufferBytes);
};

/// The pieces of this block: [first, second). Block b's first one is entry h + b of the head h that
/// holds its first page, or that ended just before: the last head that began in an earlier block.
__device__ int2 pieces_of_block(const DecodeAttentionParams& params, int (&begun)[2]) {
  if (threadIdx.x < 2) begun[threadIdx.x] = 0;
  __syncthreads();
  const int block = blockIdx.x;
  const int heads = params.rows.decode_rows * params.cache.kv_heads;
  const int32_t* first_piece = params.plan.first_piece + int64_t{params.layer} * (heads + 1);
  int before = 0;
  int until = 0;
  for (int head = threadIdx.x; head < heads; head += kThreads) {
    const int first_block = first_piece[head] - head;
    before += first_block < block ? 1 : 0;
    until += first_block <= block ? 1 : 0;
  }
  atomicAdd(&begun[0], before);
  atomicAdd(&begun[1], until);
  __syncthreads();
  const int first = block == 0 ? 0 : begun[0] - 1 + block;
  return make_int2(first, min(begun[1] + block, params.plan.piece_count[params.layer]));
}

template <int kDim, KvFormat kFormat>
__global__ void __launch_bounds__(kThreads, Shape<kDim>::kBlocksPerSm)
    attend(const DecodeAttentionParams params) {
  extern __shared__ __align__(128) std::byte shared[];
  using shape = Shape<kDim>;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  std::byte* buffers = shared + warp * kBuffers * shape::kBufferBytes;
  Merge<kDim>& merge = *reinterpret_cast<Merge<kDim>*>(shared + shape::kPipelineBytes);
  const int group = params.q_heads / params.cache.kv_heads;
  const int2 mine = pieces_of_block(params, merge.begun);
  if (mine.x >= mine.y) return;
  AttentionPiece* pieces = params.plan.pieces + int64_t{params.layer} * params.plan.max_pieces;

  const auto copy = [&](const PageRef& page, int side, int buffer) {
    copy_side<kDim, kFormat>(params.cache.arena,
                             page,
                             side,
                             shared_address(buffers + buffer * shape::kBufferBytes),
                             lane);
  };
  PageCursor cursor(params, pieces + mine.x, pieces + mine.y, warp);
  PageRef page = cursor.next();
  int keys = 0;  // buffer of the page's keys; its values follow
  copy(page, 0, keys);
  copy(page, 1, keys + 1);
  PageRef next = cursor.next();
  for (int index = mine.x; index < mine.y; ++index) {
    const AttentionPiece piece = pieces[index];
    if (piece.pages == 0) continue;
    const int64_t first_query = int64_t{piece.row} * params.q_heads + piece.kv_head * group;
    WarpAttention<kDim, kFormat> attention(params.queries + first_query * kDim, group, lane);
    for (int i = warp; i < piece.pages; i += kAttentionWarps) {
      const int values = (keys + 1) % kBuffers;
      const int next_keys = (keys + 2) % kBuffers;
      copy(next, 0, next_keys);
      const PageRef after = cursor.next();  // looked up long before it is wanted
      wait_for_copies<2>();
      __syncwarp();
      const std::byte* side = buffers + keys * shape::kBufferBytes;
      attention.score(shared_address(side), side + side_bytes(kFormat, kDim), page);
      __syncwarp();
      copy(next, 1, keys);
      attention.rescale();
      wait_for_copies<2>();
      __syncwarp();
      side = buffers + values * shape::kBufferBytes;
      attention.weigh(shared_address(side), side + side_bytes(kFormat, kDim), page);
      __syncwarp();
      page = next;
      next = after;
      keys = next_keys;
    }
    attention.store(merge.sums[warp][0], Merge<kDim>::kStride, merge.totals[warp]);
    __syncthreads();
    merge_warps<kDim>(params, merge, piece, index, group);
    if (piece.head_pieces > 1) combine_if_last<kDim>(params, merge, pieces, piece, group);
    __syncthreads();
  }
  wait_for_copies<0>();
}

template <int kDim, KvFormat kFormat>
cudaError_t launch(const DecodeAttentionParams& params, cudaStream_t stream) {
  constexpr int kSharedBytes = Shape<kDim>::kSharedBytes;
  const cudaError_t status = cudaFuncSetAttribute(
      attend<kDim, kFormat>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (status != cudaSuccess) return status;
  attend<kDim, kFormat><<<params.blocks, kThreads, kSharedBytes, stream>>>(params);
  return cudaGetLastError();
}

template <int kDim>
cudaError_t launch(const DecodeAttentionParams& params, cudaStream_t stream) {
  switch (params.cache.survivor_format) {
    case KvFormat::bf16:
      return launch<kDim, KvFormat::bf16>(params, stream);
    case KvFormat::fp8:
      return launch<kDim, KvFormat::fp8>(params, stream);
    case KvFormat::int8:
      return launch<kDim, KvFormat::int8>(params, stream);
  }
  return cudaErrorInvalidValue;
}

/// What a block takes of an SM's shared memory, and how many blocks its registers allow.
struct Footprint {
  int bytes = 0;
  int blocks = 0;
};

template <int kDim>
constexpr Footprint footprint() {
  return {Shape<kDim>::kSharedBytes + kReservedBytes, Shape<kDim>::kBlocksPerSm};
}

Footprint footprint(int head_dim) {
  switch (head_dim) {
    case 64:
      return footprint<64>();
    case 80:
      return footprint<80>();
    case 96:
      return footprint<96>();
    case 128:
      return footprint<128>();
    default:
      return {};
  }
}

}  // namespace

cudaError_t decode_blocks(const DecodeAttentionParams& params, int32_t& blocks) {
  const Footprint block = footprint(params.cache.head_dim);
  if (block.blocks == 0) return cudaErrorInvalidValue;
  int device = 0;
  int processors = 0;
  int shared = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  }
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  }
  if (status != cudaSuccess) return status;
  blocks = processors * std::min(block.blocks, shared / block.bytes);
  return blocks > 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t decode_attention(const DecodeAttentionParams& params, cudaStream_t stream) {
  if (params.rows.decode_rows == 0) return cudaSuccess;
  if (params.cache.kv_heads < 1 || params.q_heads % params.cache.kv_heads != 0 ||
      params.q_heads > kMaxGroup * params.cache.kv_heads || params.blocks < 1) {
    return cudaErrorInvalidValue;
  }
  switch (params.cache.head_dim) {
    case 64:
      return launch<64>(params, stream);
    case 80:
      return launch<80>(params, stream);
    case 96:
      return launch<96>(params, stream);
    case 128:
      return launch<128>(params, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace dms::cuda
