// Attention of a chunk (prefill_problem.cuh) by wgmma. A block takes 128 rows: two warpgroups of 64
// that multiply, and one that brings tiles of 128 tokens.

#include <cuda.h>

#include "cuda/kernels/prefill_sm90_rows.cuh"

namespace dms::cuda {
namespace sm90 {
namespace {

template <int kHeadDim>
__device__ __forceinline__ void load_queries(const Block<kHeadDim>& block,
                                             int32_t first_row,
                                             std::byte* queries) {
  using L = Layout<kHeadDim>;
  constexpr int kChunks = kHeadDim / 8;
  for (int v = static_cast<int>(threadIdx.x % kGroupThreads); v < kGroupRows * kChunks;
       v += kGroupThreads) {
    const int row = v / kChunks;
    const int chunk = v % kChunks;
    uint4 channels{};
    if (first_row + row < block.problem.rows) {
      channels = *reinterpret_cast<const uint4*>(
          block.problem.p.queries + block.problem.row_offset(block.kv_head, first_row + row) +
          chunk * 8);
    }
    *reinterpret_cast<uint4*>(queries + chunk / 8 * L::kQueryColumn + swizzled(row, chunk % 8)) =
        channels;
  }
  fence_async_proxy();
}

/// Through the warp's own queries in shared memory, which nobody needs any more.
template <int kHeadDim>
__device__ __forceinline__ void store_rows(const Rows<kHeadDim>& rows,
                                           const Block<kHeadDim>& block,
                                           int32_t first_row,
                                           std::byte* queries) {
  using L = Layout<kHeadDim>;
  constexpr int kChunks = kHeadDim / 8;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = static_cast<int>(threadIdx.x % kGroupThreads / 32) * 16;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = rows.total[r];
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    const float factor = 1.0f / total;
    const int row = warp_row + lane / 4 + 8 * r;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const float* pair = &rows.sums[4 * chunk + 2 * r];
      std::byte* to = queries + chunk / 8 * L::kQueryColumn + swizzled(row, chunk % 8);
      *reinterpret_cast<uint32_t*>(to + lane % 4 * 4) =
          pack_bf16(pair[0] * factor, pair[1] * factor);
    }
  }
  __syncwarp();
  for (int v = lane; v < 16 * kChunks; v += 32) {
    const int own_row = warp_row + v / kChunks;
    const int chunk = v % kChunks;
    const int32_t row = first_row + own_row;
    if (row >= block.problem.rows) break;
    *reinterpret_cast<uint4*>(block.problem.p.out + block.problem.row_offset(block.kv_head, row) +
                              chunk * 8) =
        *reinterpret_cast<const uint4*>(queries + chunk / 8 * L::kQueryColumn +
                                        swizzled(own_row, chunk % 8));
  }
}

/// Waits for the threads of one of the two warpgroups.
__device__ __forceinline__ void sync_consumers(int group) {
  if (group == 0) {
    sync_threads_of<2, kGroupThreads>();
  } else {
    sync_threads_of<3, kGroupThreads>();
  }
}

template <int kHeadDim>
__device__ __forceinline__ void consume(const Block<kHeadDim>& block, int32_t first_row) {
  using L = Layout<kHeadDim>;
  const int group = static_cast<int>(threadIdx.x / kGroupThreads) - 1;
  const int32_t group_row = first_row + group * kGroupRows;
  std::byte* const queries = block.shared + group * L::kGroupQueries;
  load_queries(block, group_row, queries);
  sync_consumers(group);
  Rows<kHeadDim> rows;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.edges[r] =
        block.problem.edge_of(block.kv_head,
                              group_row + static_cast<int>(threadIdx.x % kGroupThreads / 32) * 16 +
                                  static_cast<int>(threadIdx.x % 32) / 4 + 8 * r);
  }
  attend(rows, block, shared_address(queries));
  sync_consumers(group);  // its queries are read
  store_rows(rows, block, group_row, queries);
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, 1)
    attention_kernel(const PrefillProblem problem, const __grid_constant__ Maps maps) {
  using L = Layout<kHeadDim>;
  // Said to begin where CUDA promises that it does: by more, the rounding up would be left out.
  extern __shared__ __align__(16) std::byte unaligned[];
  std::byte* const shared = unaligned + (L::kAlignment - 1 & -shared_address(unaligned));
  auto& tiles = *reinterpret_cast<Tiles*>(shared + L::kTilesAt);
  auto* const edges = reinterpret_cast<RowEdge*>(shared + L::kEdgesAt);
  Block<kHeadDim> block{problem, maps, tiles, edges};
  block.shared = shared;
  block.kv_head = static_cast<int32_t>(blockIdx.y);
  // The last rows see most: they begin first.
  const int32_t first_row = static_cast<int32_t>(gridDim.x - 1 - blockIdx.x) * kBlockRows;
  block.head = head_index(problem.p.cache, problem.p.slot, problem.p.layer, block.kv_head);
  if (threadIdx.x == 0) {
    tiles = prefill_tiles<kTile>(problem, block.kv_head, block.head, first_row, kBlockRows);
    for (int i = 0; i < 2 * kConsumers; ++i) {
      const int32_t row = first_row + i / 2 * kGroupRows + i % 2 * (kGroupRows - 1);
      edges[i] = problem.edge_of(block.kv_head, row);
    }
    for (int stage = 0; stage < L::kStages; ++stage) {
      init_barrier(block.full(stage), 1);
      init_barrier(block.empty(stage), kConsumers * kGroupThreads / 32);
    }
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x < kGroupThreads) {
    give_registers<kProducerRegisters>();
    produce(block);
  } else {
    take_registers<kConsumerRegisters>();
    consume(block, first_row);
  }
}

using Encode = decltype(&cuTensorMapEncodeTiled);

/// Null where the driver has none.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
  return error == cudaSuccess ? reinterpret_cast<Encode>(function) : nullptr;
}

/// A tensor [matrices, rows, head_dim] in boxes of `box_rows` rows of 64 channels.
struct Tensor {
  void* data = nullptr;
  uint64_t matrices = 0;  // 0: of two dimensions
  uint64_t rows = 0;
  uint64_t head_dim = 0;
  uint32_t box_rows = 0;
};

cudaError_t encode(Encode encode_tiled, const Tensor& tensor, CUtensorMap& map) {
  const cuuint64_t sizes[3] = {tensor.head_dim, tensor.rows, tensor.matrices};
  const cuuint64_t strides[2] = {tensor.head_dim * 2, tensor.rows * tensor.head_dim * 2};
  const cuuint32_t box[3] = {kColumn, tensor.box_rows, 1};
  const cuuint32_t steps[3] = {1, 1, 1};
  const CUresult result = encode_tiled(&map,
                                       CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                       tensor.matrices == 0 ? 2 : 3,
                                       tensor.data,
                                       sizes,
                                       strides,
                                       box,
                                       steps,
                                       CU_TENSOR_MAP_INTERLEAVE_NONE,
                                       CU_TENSOR_MAP_SWIZZLE_128B,
                                       CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t make_maps(const PrefillProblem& problem, Maps& maps) {
  static const Encode encode_tiled = find_encode();
  if (encode_tiled == nullptr) return cudaErrorNotSupported;
  const PrefillWorkspace& w = problem.w;
  const CacheView& cache = problem.p.cache;
  const auto head_dim = static_cast<uint64_t>(cache.head_dim);
  const auto matrices = static_cast<uint64_t>(2 * cache.kv_heads);
  const Tensor exact{w.exact_keys, matrices, static_cast<uint64_t>(w.exact), head_dim, kTile};
  const Tensor kept{w.kept_keys, matrices, static_cast<uint64_t>(w.kept_room), head_dim, kTile};
  // As far as coordinates reach: pages are never beyond the arena.
  const Tensor pages{cache.arena, 0, INT32_MAX, head_dim, kPageTokens};
  if (const cudaError_t error = encode(encode_tiled, exact, maps.exact); error != cudaSuccess) {
    return error;
  }
  maps.kept = maps.exact;
  if (w.kept_room > 0) {
    if (const cudaError_t error = encode(encode_tiled, kept, maps.kept); error != cudaSuccess) {
      return error;
    }
  }
  maps.pages = maps.exact;
  if (cache.arena == nullptr) return cudaSuccess;
  return encode(encode_tiled, pages, maps.pages);
}

template <int kHeadDim>
cudaError_t launch(const PrefillProblem& problem, cudaStream_t stream) {
  using L = Layout<kHeadDim>;
  Maps maps;
  if (const cudaError_t error = make_maps(problem, maps); error != cudaSuccess) return error;
  const cudaError_t error = cudaFuncSetAttribute(
      attention_kernel<kHeadDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, L::kSharedBytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>((problem.rows + kBlockRows - 1) / kBlockRows),
                  static_cast<unsigned>(problem.p.cache.kv_heads));
  attention_kernel<kHeadDim><<<grid, kThreads, L::kSharedBytes, stream>>>(problem, maps);
  return cudaGetLastError();
}

}  // namespace
}  // namespace sm90

cudaError_t prefill_attention_sm90(const PrefillAttentionParams& params, cudaStream_t stream) {
  if (const cudaError_t error = check(params); error != cudaSuccess) return error;
  const int32_t head_dim = params.cache.head_dim;
  if (head_dim != 64 && head_dim != 128) return cudaErrorNotSupported;
  if (params.count == 0) return cudaSuccess;
  if (const cudaError_t error = gather_exact(params, stream); error != cudaSuccess) return error;
  const PrefillProblem problem = prefill_problem(params);
  return head_dim == 64 ? sm90::launch<64>(problem, stream) : sm90::launch<128>(problem, stream);
}

}  // namespace dms::cuda
