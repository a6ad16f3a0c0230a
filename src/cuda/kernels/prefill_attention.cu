// Flash attention of a chunk over three runs of keys and values: survivors' pages, kept exact
// tokens, band (prefill_problem.cuh), by mma.sync. A block takes 128 rows, a warp 32. A tile of
// keys and values is as long as a page; while one is attended, the next is on its way.

#include "cuda/kernels/attention_codes.cuh"
#include "cuda/kernels/prefill_fragments.cuh"
#include "cuda/kernels/prefill_problem.cuh"

namespace dms::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlockRows = kWarps * kWarpRows;
static_assert(kBlockRows == kThreads);  // a thread prepares a row's edge
constexpr int kStages = 2;

using Tiles = PrefillTiles<kTile>;

/// Shared memory: queries, then stages of a tile's keys, values and scales, then the rows' edges
/// and Tiles, for which sums of 128 channels leave no registers.
template <int kHeadDim>
struct Layout : RowLayout<kHeadDim> {
  static constexpr int kSideBytes = kTile * 2 * kHeadDim;
  static constexpr int kScaleBytes = 2 * kTile * 2;
  static constexpr int kStageBytes = 2 * kSideBytes + kScaleBytes;
  static constexpr int kQueryBytes = kBlockRows * 2 * kHeadDim;
  static constexpr int kEdgesAt = kQueryBytes + kStages * kStageBytes;
  static constexpr int kTilesAt = kEdgesAt + kBlockRows * static_cast<int>(sizeof(RowEdge));
  static constexpr int kSharedBytes = kTilesAt + static_cast<int>(sizeof(Tiles));
};

template <int kHeadDim>
__device__ __forceinline__ void load_rows(uint32_t to,
                                          const std::byte* keys,
                                          const std::byte* values,
                                          int32_t valid) {
  using L = Layout<kHeadDim>;
  for (int v = static_cast<int>(threadIdx.x); v < kTile * L::kChunks; v += kThreads) {
    const int row = v / L::kChunks;
    const int chunk = v % L::kChunks;
    const uint32_t place = to + L::place(row, chunk);
    copy_async_16(place, keys + v * 16, row < valid);
    copy_async_16(place + L::kSideBytes, values + v * 16, row < valid);
  }
}

/// Codes go where their numbers will be, but densely; scales behind both sides. Whatever lies in
/// unused places is a finite number too.
template <int kHeadDim>
__device__ __forceinline__ void load_codes(uint32_t to, const std::byte* page) {
  using L = Layout<kHeadDim>;
  constexpr int kCodeBytes = kTile * kHeadDim;
  const int first = static_cast<int>(threadIdx.x) * 16;
  for (int byte = first; byte < kCodeBytes; byte += kThreads * 16) {
    copy_async_16(to + byte, page + byte);
    copy_async_16(to + L::kSideBytes + byte, page + kCodeBytes + byte);
  }
  if (first < L::kScaleBytes) {
    copy_async_16(to + 2 * L::kSideBytes + first, page + 2 * kCodeBytes + first);
  }
}

template <int kHeadDim>
__device__ __forceinline__ void load_tile(const PrefillProblem& problem,
                                          const Tiles& tiles,
                                          int32_t kv_head,
                                          int64_t head,
                                          int32_t tile,
                                          uint32_t to) {
  const int32_t begin = tiles.begin(tile);
  const PrefillRun run = tiles.run(tile);
  if (run == PrefillRun::survivors) {
    const CacheView& cache = problem.p.cache;
    const std::byte* page =
        cache.arena +
        static_cast<int64_t>(cache.survivor_table[head * cache.max_pages + tile]) * kPageUnit;
    const int32_t valid = tiles.survivors - begin;
    if (cache.survivor_format == KvFormat::bf16) {
      load_rows<kHeadDim>(to, page, page + side_bytes(KvFormat::bf16, kHeadDim), valid);
    } else {
      load_codes<kHeadDim>(to, page);
    }
    return;
  }
  const PrefillWorkspace& w = problem.w;
  const bool is_kept = run == PrefillRun::kept;
  const int64_t row = static_cast<int64_t>(kv_head) * (is_kept ? w.kept_room : w.exact) + begin;
  load_rows<kHeadDim>(
      to,
      reinterpret_cast<const std::byte*>((is_kept ? w.kept_keys : w.exact_keys) + row * kHeadDim),
      reinterpret_cast<const std::byte*>((is_kept ? w.kept_values : w.exact_values) +
                                         row * kHeadDim),
      tiles.end(run) - begin);
}

/// Codes of a stage become numbers in its place. For all threads of the block.
template <int kHeadDim>
__device__ __forceinline__ void decode_stage(KvFormat format, std::byte* stage) {
  using L = Layout<kHeadDim>;
  constexpr int kVectors = kTile * kHeadDim / 16;
  constexpr int kOwn = (kVectors + kThreads - 1) / kThreads;
  uint4 codes[2][kOwn];
#pragma unroll
  for (int side = 0; side < 2; ++side) {
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      const int v = static_cast<int>(threadIdx.x) + own * kThreads;
      if (v < kVectors) {
        codes[side][own] = *reinterpret_cast<const uint4*>(stage + side * L::kSideBytes + v * 16);
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int side = 0; side < 2; ++side) {
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      const int v = static_cast<int>(threadIdx.x) + own * kThreads;
      if (v >= kVectors) continue;
      const int row = v / (kHeadDim / 16);
      const int chunk = v % (kHeadDim / 16) * 2;
      std::byte* to = stage + side * L::kSideBytes;
      store_channels(decode_codes(format, codes[side][own]), chunk, [&](int at) {
        return to + L::place(row, at);
      });
    }
  }
  __syncthreads();
}

/// Hides from each row the tokens of a tile that it does not see.
__device__ __forceinline__ void mask(Scores& scores,
                                     const PrefillProblem& problem,
                                     const Tiles& tiles,
                                     const RowEdge* rows,
                                     PrefillRun run,
                                     int32_t begin) {
  const int32_t column = begin + static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    const RowEdge row = rows[16 * (r / 2) + 8 * (r % 2) + threadIdx.x % 32 / 4];
    const VisibleTokens visible = visible_tokens(run, problem, tiles.survivors, row);
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int32_t token = column + 8 * n + e;
        if (token < visible.begin || token >= visible.end) {
          scores[r / 2][n][r % 2 * 2 + e] = -INFINITY;
        }
      }
    }
  }
}

/// How much of a tile a warp's rows see.
struct Sight {
  bool any;
  bool all;
};

__device__ __forceinline__ Sight sight_of(const PrefillProblem& problem,
                                          const Tiles& tiles,
                                          const RowEdge* rows,
                                          PrefillRun run,
                                          int32_t begin) {
  const RowEdge low = rows[0];
  const RowEdge high = rows[kWarpRows - 1];
  const VisibleTokens first = visible_tokens(run, problem, tiles.survivors, low);
  const VisibleTokens last = visible_tokens(run, problem, tiles.survivors, high);
  return {.any = begin < last.end && begin + kTile > first.begin,
          .all = begin >= last.begin && begin + kTile <= first.end};
}

/// Attends one tile that lies in shared memory.
template <int kHeadDim>
__device__ __forceinline__ void attend(Softmax<kHeadDim>& softmax,
                                       const PrefillProblem& problem,
                                       const Tiles& tiles,
                                       const RowEdge* rows,
                                       int32_t tile,
                                       const std::byte* shared,
                                       const std::byte* stage) {
  using L = Layout<kHeadDim>;
  const PrefillRun run = tiles.run(tile);
  const int32_t begin = tiles.begin(tile);
  const Sight sight = sight_of(problem, tiles, rows, run, begin);
  if (!sight.any) return;
  const bool has_scales =
      run == PrefillRun::survivors && problem.p.cache.survivor_format != KvFormat::bf16;
  const __nv_bfloat16* scales = reinterpret_cast<const __nv_bfloat16*>(stage + 2 * L::kSideBytes);
  Scores scores = {};
  multiply_keys<kHeadDim>(scores, shared_address(shared), shared_address(stage));
  if (has_scales) scale_columns(scores, scales, tiles.survivors - begin);
  if (!sight.all) mask(scores, problem, tiles, rows, run, begin);
  exponentiate(softmax, scores, kLog2e * problem.p.score_scale);
  if (has_scales) scale_columns(scores, scales + kTile, tiles.survivors - begin);
  multiply_values(softmax, scores, shared_address(stage + L::kSideBytes));
}

template <int kHeadDim>
__device__ __forceinline__ void load_queries(const PrefillProblem& problem,
                                             int32_t kv_head,
                                             int32_t first_row,
                                             uint32_t to) {
  using L = Layout<kHeadDim>;
  for (int v = static_cast<int>(threadIdx.x); v < kBlockRows * L::kChunks; v += kThreads) {
    const int32_t row = first_row + v / L::kChunks;
    const int chunk = v % L::kChunks;
    const bool is_valid = row < problem.rows;
    const int64_t from = is_valid ? problem.row_offset(kv_head, row) : 0;
    copy_async_16(
        to + L::place(v / L::kChunks, chunk), problem.p.queries + from + chunk * 8, is_valid);
  }
}

/// Through the warp's own queries in shared memory, which nobody needs any more.
template <int kHeadDim>
__device__ __forceinline__ void store_rows(const Softmax<kHeadDim>& softmax,
                                           const PrefillProblem& problem,
                                           int32_t kv_head,
                                           int32_t first_row,
                                           std::byte* shared) {
  using L = Layout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = static_cast<int>(threadIdx.x / 32) * kWarpRows;
  __syncwarp();
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    float total = softmax.total[r];
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    const float factor = 1.0f / total;
    const int row = warp_row + 16 * (r / 2) + 8 * (r % 2) + lane / 4;
#pragma unroll
    for (int t = 0; t < kHeadDim / 8; ++t) {
      const float* pair = &softmax.sums[r / 2][t][r % 2 * 2];
      *reinterpret_cast<uint32_t*>(shared + L::place(row, t) + lane % 4 * 4) =
          pack_bf16(pair[0] * factor, pair[1] * factor);
    }
  }
  __syncwarp();
  for (int v = lane; v < kWarpRows * L::kChunks; v += 32) {
    const int own_row = warp_row + v / L::kChunks;
    const int32_t row = first_row + own_row;
    if (row >= problem.rows) break;
    const int chunk = v % L::kChunks;
    *reinterpret_cast<uint4*>(problem.p.out + problem.row_offset(kv_head, row) + chunk * 8) =
        *reinterpret_cast<const uint4*>(shared + L::place(own_row, chunk));
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, 2) attention_kernel(const PrefillProblem problem) {
  using L = Layout<kHeadDim>;
  extern __shared__ __align__(128) std::byte shared[];
  std::byte* const stages = shared + L::kQueryBytes;
  const int32_t kv_head = static_cast<int32_t>(blockIdx.y);
  // The last rows see most: they begin first.
  const int32_t first_row = static_cast<int32_t>(gridDim.x - 1 - blockIdx.x) * kBlockRows;
  const int64_t head = head_index(problem.p.cache, problem.p.slot, problem.p.layer, kv_head);
  auto& tiles = *reinterpret_cast<Tiles*>(shared + L::kTilesAt);
  if (threadIdx.x == 0) {
    tiles = prefill_tiles<kTile>(problem, kv_head, head, first_row, kBlockRows);
  }
  __syncthreads();

  load_queries<kHeadDim>(problem, kv_head, first_row, shared_address(shared));
  load_tile<kHeadDim>(problem, tiles, kv_head, head, 0, shared_address(stages));
  commit_copies();

  auto* const edges = reinterpret_cast<RowEdge*>(shared + L::kEdgesAt);
  edges[threadIdx.x] = problem.edge_of(kv_head, first_row + static_cast<int>(threadIdx.x));
  const RowEdge* const rows = edges + threadIdx.x / 32 * kWarpRows;

  Softmax<kHeadDim> softmax;
#pragma unroll
  for (float& highest : softmax.highest) highest = -INFINITY;
  for (int32_t tile = 0; tile < tiles.end_tile; ++tile) {
    std::byte* const stage = stages + tile % kStages * L::kStageBytes;
    wait_for_copies<0>();
    __syncthreads();  // the tile is there for all, and the one before is done with
    if (tile + 1 < tiles.end_tile) {
      load_tile<kHeadDim>(problem,
                          tiles,
                          kv_head,
                          head,
                          tile + 1,
                          shared_address(stages + (tile + 1) % kStages * L::kStageBytes));
      commit_copies();
    }
    if (tile < tiles.kept_tile && problem.p.cache.survivor_format != KvFormat::bf16) {
      decode_stage<kHeadDim>(problem.p.cache.survivor_format, stage);
    }
    attend(softmax, problem, tiles, rows, tile, shared, stage);
  }
  store_rows(softmax, problem, kv_head, first_row, shared);
}

}  // namespace

cudaError_t prefill_attention(const PrefillAttentionParams& params, cudaStream_t stream) {
  if (const cudaError_t error = check(params); error != cudaSuccess) return error;
  if (params.count == 0) return cudaSuccess;
  if (const cudaError_t error = gather_exact(params, stream); error != cudaSuccess) return error;
  const PrefillProblem problem = prefill_problem(params);
  const dim3 grid(static_cast<unsigned>((problem.rows + kBlockRows - 1) / kBlockRows),
                  static_cast<unsigned>(params.cache.kv_heads));
  return with_head_dim(params.cache.head_dim, [&](auto head_dim) {
    using L = Layout<head_dim.value>;
    const cudaError_t error = cudaFuncSetAttribute(attention_kernel<head_dim.value>,
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   L::kSharedBytes);
    if (error != cudaSuccess) return error;
    attention_kernel<head_dim.value><<<grid, kThreads, L::kSharedBytes, stream>>>(problem);
    return cudaGetLastError();
  });
}

}  // namespace dms::cuda
