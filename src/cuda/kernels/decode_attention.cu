// Decode attention of one layer. Blocks stay: each goes through its pieces of the plan, its warps
// taking pages in turn, each warp with a pipeline of its own (no barrier but at a piece's end),
// which runs on into the next piece. A head of several pieces is put together by the block that
// finishes its last one.
//
// In flight while a warp computes: two or three sides of pages. Of an SM with 228 KiB of shared
// memory, in KiB (blocks x warps x sides x their size), bf16 and one byte: head_dim 64: 144 and 72;
// 80: 120 and 60; 96: 144 and 72; 128: 128 and 64. An H200 needs about 40 to 64 for its bandwidth.

#include <algorithm>

#include <cuda_runtime.h>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/decode_combine.cuh"
#include "cuda/kernels/decode_pages.cuh"
#include "cuda/kernels/decode_warp.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 32 * kAttentionWarps;
constexpr int kReservedBytes = 1024;  // of shared memory, which CUDA takes for each block

template <int kDim>
struct Shape {
  // Sides of pages in shared memory, of each warp: what leaves as many blocks an SM as three do,
  // one copied from and the others on their way.
  static constexpr int kBuffers = kDim == 64 || kDim == 96 ? 4 : 3;
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
  std::byte* buffers = shared + warp * shape::kBuffers * shape::kBufferBytes;
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
  // Sides, keys and values in turn, are copied kAhead before they are used, and pages looked up
  // long before that.
  constexpr int kAhead = shape::kBuffers - 1;
  PageCursor cursor(params, pieces + mine.x, pieces + mine.y, warp);
  PageRef pages[3] = {cursor.next(), cursor.next(), cursor.next()};
#pragma unroll
  for (int side = 0; side < kAhead; ++side) copy(pages[side / 2], side % 2, side);
  int buffer = 0;
  const auto next_buffer = [&] { buffer = buffer + 1 == shape::kBuffers ? 0 : buffer + 1; };
  const auto free_buffer = [&] { return buffer == 0 ? kAhead : buffer - 1; };
  for (int index = mine.x; index < mine.y; ++index) {
    const AttentionPiece piece = pieces[index];
    if (piece.pages == 0) continue;
    const int64_t first_query = int64_t{piece.row} * params.q_heads + piece.kv_head * group;
    WarpAttention<kDim, kFormat> attention(params.queries + first_query * kDim, group, lane);
    for (int i = warp; i < piece.pages; i += kAttentionWarps) {
      copy(pages[kAhead / 2], kAhead % 2, free_buffer());
      const PageRef found = cursor.next();
      wait_for_copies<kAhead>();
      __syncwarp();
      const std::byte* keys = buffers + buffer * shape::kBufferBytes;
      attention.score(shared_address(keys), keys + side_bytes(kFormat, kDim), pages[0]);
      __syncwarp();
      next_buffer();
      copy(pages[(kAhead + 1) / 2], (kAhead + 1) % 2, free_buffer());
      attention.rescale();
      wait_for_copies<kAhead>();
      __syncwarp();
      const std::byte* values = buffers + buffer * shape::kBufferBytes;
      attention.weigh(shared_address(values), values + side_bytes(kFormat, kDim), pages[0]);
      __syncwarp();
      next_buffer();
      pages[0] = pages[1];
      pages[1] = pages[2];
      pages[2] = found;
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

int decode_shared_bytes(int32_t head_dim) {
  const Footprint block = footprint(head_dim);
  return block.blocks == 0 ? 0 : block.bytes - kReservedBytes;
}

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
