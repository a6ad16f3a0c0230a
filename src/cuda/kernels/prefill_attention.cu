// Flash attention of a chunk over three runs of keys and values: survivors' pages, kept exact
// tokens, band. Rows are (token, query head of the group) in order, so that each load of keys and
// values serves a whole group; a block takes 128 of them, a warp 32, so that each fragment that
// comes from shared memory feeds two products. A tile of keys and values is as long as a page.

#include <cmath>

#include "cuda/kernels/attention_codes.cuh"
#include "cuda/kernels/prefill_workspace.h"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kRowTiles = 2;  // of 16 rows, of a warp
constexpr int kWarpRows = 16 * kRowTiles;
constexpr int kBlockRows = kWarps * kWarpRows;
constexpr int kStages = 2;
constexpr int kTile = kPageTokens;
constexpr float kLog2e = 1.44269504088896340736f;

/// Rows of bf16 in shared memory, in chunks of 16 bytes that are exchanged so that ldmatrix finds
/// the same chunk of eight rows in eight different groups of banks.
template <int kHeadDim>
struct Layout {
  static constexpr int kChunks = kHeadDim / 8;
  static constexpr int kShift = kHeadDim == 80 ? 2 : kHeadDim == 96 ? 1 : 0;
  static constexpr int kMask = kHeadDim == 80 ? 1 : kHeadDim == 96 ? 3 : 7;
  static constexpr int kRowBytes = 2 * kHeadDim;
  static constexpr int kSideBytes = kTile * kRowBytes;
  static constexpr int kScaleBytes = 2 * kTile * 2;
  static constexpr int kStageBytes = 2 * kSideBytes + kScaleBytes;
  static constexpr int kQueryBytes = kBlockRows * kRowBytes;
  static constexpr int kSharedBytes = kQueryBytes + kStages * kStageBytes;

  static __device__ __forceinline__ uint32_t place(int row, int chunk) {
    return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ (row >> kShift & kMask)) << 4));
  }
};

enum class Run { survivors, kept, band };

/// The tiles of one block, run after run.
struct Tiles {
  int32_t survivors = 0;   // tokens
  int32_t kept = 0;        // that the block's last row sees
  int32_t band_begin = 0;  // of the exact tokens
  int32_t band_end = 0;
  int32_t survivor_tiles = 0;
  int32_t kept_tiles = 0;
  int32_t all = 0;

  __device__ __forceinline__ Run run(int32_t tile) const {
    if (tile < survivor_tiles) return Run::survivors;
    return tile < survivor_tiles + kept_tiles ? Run::kept : Run::band;
  }
  /// Where a tile begins in its run's tokens.
  __device__ __forceinline__ int32_t begin(int32_t tile) const {
    if (tile < survivor_tiles) return tile * kTile;
    if (tile < survivor_tiles + kept_tiles) return (tile - survivor_tiles) * kTile;
    return band_begin + (tile - survivor_tiles - kept_tiles) * kTile;
  }
};

struct Problem {
  PrefillAttentionParams p{};
  PrefillWorkspace w{};

  __device__ __forceinline__ int32_t group() const { return p.q_heads / p.cache.kv_heads; }
  __device__ __forceinline__ int32_t rows() const { return p.count * group(); }
  /// The exact token that a row's query is, rows beyond the last being the last.
  __device__ __forceinline__ int32_t exact_of(int32_t row) const {
    return p.first - p.sealed_end + min(row, rows() - 1) / group();
  }
  /// Kept exact tokens that lie beyond the band of a query.
  __device__ __forceinline__ int32_t kept_before(int32_t kv_head, int32_t exact) const {
    const int32_t edge = exact - p.window;
    return edge > 0 ? w.ranks[static_cast<int64_t>(kv_head) * (w.kept_room + 1) + edge] : 0;
  }
};

__device__ __forceinline__ Tiles tiles_of(const Problem& problem,
                                          int32_t kv_head,
                                          int64_t head,
                                          int32_t first_row) {
  const int32_t low = problem.exact_of(first_row);
  const int32_t high = problem.exact_of(first_row + kBlockRows - 1);
  Tiles tiles;
  tiles.survivors = problem.p.cache.survivors[head];
  tiles.kept = problem.kept_before(kv_head, high);
  tiles.band_begin = max(0, low - problem.p.window);
  tiles.band_end = high + 1;
  tiles.survivor_tiles = (tiles.survivors + kTile - 1) / kTile;
  tiles.kept_tiles = (tiles.kept + kTile - 1) / kTile;
  tiles.all = tiles.survivor_tiles + tiles.kept_tiles +
              (tiles.band_end - tiles.band_begin + kTile - 1) / kTile;
  return tiles;
}

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

/// Codes go where their numbers will be, but densely; scales behind both sides.
template <int kHeadDim>
__device__ __forceinline__ void load_codes(uint32_t to, const std::byte* page, int32_t valid) {
  using L = Layout<kHeadDim>;
  constexpr int kRowVectors = kHeadDim / 16;
  constexpr int kCodeBytes = kTile * kHeadDim;
  for (int v = static_cast<int>(threadIdx.x); v < kTile * kRowVectors; v += kThreads) {
    const bool is_valid = v / kRowVectors < valid;
    copy_async_16(to + v * 16, page + v * 16, is_valid);
    copy_async_16(to + L::kSideBytes + v * 16, page + kCodeBytes + v * 16, is_valid);
  }
  if (threadIdx.x < L::kScaleBytes / 16) {
    copy_async_16(to + 2 * L::kSideBytes + threadIdx.x * 16,
                  page + 2 * kCodeBytes + threadIdx.x * 16);
  }
}

template <int kHeadDim>
__device__ __forceinline__ void load_tile(const Problem& problem,
                                          const Tiles& tiles,
                                          int32_t kv_head,
                                          int64_t head,
                                          int32_t tile,
                                          uint32_t to) {
  const int32_t begin = tiles.begin(tile);
  const Run run = tiles.run(tile);
  if (run == Run::survivors) {
    const CacheView& cache = problem.p.cache;
    const std::byte* page =
        cache.arena +
        static_cast<int64_t>(cache.survivor_table[head * cache.max_pages + tile]) * kPageUnit;
    const int32_t valid = tiles.survivors - begin;
    if (cache.survivor_format == KvFormat::bf16) {
      load_rows<kHeadDim>(to, page, page + side_bytes(KvFormat::bf16, kHeadDim), valid);
    } else {
      load_codes<kHeadDim>(to, page, valid);
    }
    return;
  }
  const PrefillWorkspace& w = problem.w;
  const bool is_kept = run == Run::kept;
  const int64_t row = static_cast<int64_t>(kv_head) * (is_kept ? w.kept_room : w.exact) + begin;
  load_rows<kHeadDim>(
      to,
      reinterpret_cast<const std::byte*>((is_kept ? w.kept_keys : w.exact_keys) + row * kHeadDim),
      reinterpret_cast<const std::byte*>((is_kept ? w.kept_values : w.exact_values) +
                                         row * kHeadDim),
      (is_kept ? tiles.kept : tiles.band_end) - begin);
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
      const uint2 a = decode_codes(format, codes[side][own].x);
      const uint2 b = decode_codes(format, codes[side][own].y);
      const uint2 c = decode_codes(format, codes[side][own].z);
      const uint2 d = decode_codes(format, codes[side][own].w);
      std::byte* to = stage + side * L::kSideBytes;
      *reinterpret_cast<uint4*>(to + L::place(row, chunk)) = {a.x, a.y, b.x, b.y};
      *reinterpret_cast<uint4*>(to + L::place(row, chunk + 1)) = {c.x, c.y, d.x, d.y};
    }
  }
  __syncthreads();
}

/// A warp's online softmax: fragments of 32 rows, as mma.sync lays them out. Row r of a thread is
/// row 16 (r / 2) + 8 (r % 2) + lane / 4 of the warp's.
template <int kHeadDim>
struct Softmax {
  float sums[kRowTiles][kHeadDim / 8][4] = {};
  float highest[2 * kRowTiles];
  float total[2 * kRowTiles] = {};
};

using Scores = float[kRowTiles][kTile / 8][4];

template <int kHeadDim>
__device__ __forceinline__ void multiply_keys(Scores& scores, uint32_t queries, uint32_t keys) {
  using L = Layout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = static_cast<int>(threadIdx.x / 32) * kWarpRows;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    uint32_t q[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      load_matrices(q[m], queries + L::place(warp_row + 16 * m + lane % 16, 2 * k + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < kTile / 16; ++n) {
      uint32_t key[4];
      load_matrices(key, keys + L::place(16 * n + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        multiply_add(scores[m][2 * n], q[m], key[0], key[1]);
        multiply_add(scores[m][2 * n + 1], q[m], key[2], key[3]);
      }
    }
  }
}

/// What a thread knows of its rows.
struct OwnRows {
  int32_t exact[2 * kRowTiles];
  int32_t kept[2 * kRowTiles];
};

/// Hides from each row the tokens of a tile that it does not see.
__device__ __forceinline__ void mask(Scores& scores,
                                     const Problem& problem,
                                     const Tiles& tiles,
                                     const OwnRows& rows,
                                     Run run,
                                     int32_t begin) {
  const int32_t column = begin + static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    int32_t low = 0;
    int32_t high = tiles.survivors;
    if (run == Run::kept) high = rows.kept[r];
    if (run == Run::band) {
      low = rows.exact[r] - problem.p.window;
      high = rows.exact[r] + 1;
    }
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int32_t token = column + 8 * n + e;
        if (token < low || token >= high) scores[r / 2][n][r % 2 * 2 + e] = -INFINITY;
      }
    }
  }
}

/// scores become weights; what was summed before is brought to the new highest score.
template <int kHeadDim>
__device__ __forceinline__ void exponentiate(Softmax<kHeadDim>& softmax,
                                             Scores& scores,
                                             float scale) {
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    float highest = softmax.highest[r];
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
      highest = fmaxf(highest, fmaxf(scores[r / 2][n][r % 2 * 2], scores[r / 2][n][r % 2 * 2 + 1]));
    }
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
    // A row that has seen nothing yet: all its differences are -inf, not NaN.
    const float base = highest == -INFINITY ? 0.0f : highest * scale;
    const float correction = exp2f(softmax.highest[r] * scale - base);
    softmax.highest[r] = highest;
    softmax.total[r] *= correction;
#pragma unroll
    for (int t = 0; t < kHeadDim / 8; ++t) {
      softmax.sums[r / 2][t][r % 2 * 2] *= correction;
      softmax.sums[r / 2][t][r % 2 * 2 + 1] *= correction;
    }
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = r % 2 * 2; e < r % 2 * 2 + 2; ++e) {
        const float weight = exp2f(fmaf(scores[r / 2][n][e], scale, -base));
        softmax.total[r] += weight;
        scores[r / 2][n][e] = weight;
      }
    }
  }
}

template <int kHeadDim>
__device__ __forceinline__ void multiply_values(Softmax<kHeadDim>& softmax,
                                                const Scores& weights,
                                                uint32_t values) {
  using L = Layout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
    uint32_t p[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &weights[m][2 * k + i / 2][i % 2 * 2];
        p[m][i] = pack_bf16(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int t = 0; t < kHeadDim / 16; ++t) {
      uint32_t value[4];
      load_matrices_transposed(value, values + L::place(16 * k + lane % 16, 2 * t + lane / 16));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        multiply_add(softmax.sums[m][2 * t], p[m], value[0], value[1]);
        multiply_add(softmax.sums[m][2 * t + 1], p[m], value[2], value[3]);
      }
    }
  }
}

/// Multiplies columns by scales [kTile]; those of tokens beyond `valid` are not looked at.
__device__ __forceinline__ void scale_columns(Scores& scores,
                                              const __nv_bfloat16* scales,
                                              int32_t valid) {
  const int column = static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = 8 * n + column + e;
      const float scale = token < valid ? __bfloat162float(scales[token]) : 0.0f;
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        scores[m][n][e] *= scale;
        scores[m][n][e + 2] *= scale;
      }
    }
  }
}

/// Attends one tile that lies in shared memory.
template <int kHeadDim>
__device__ __forceinline__ void attend(Softmax<kHeadDim>& softmax,
                                       const Problem& problem,
                                       const Tiles& tiles,
                                       const OwnRows& rows,
                                       int32_t tile,
                                       const std::byte* shared,
                                       const std::byte* stage) {
  using L = Layout<kHeadDim>;
  const Run run = tiles.run(tile);
  const int32_t begin = tiles.begin(tile);
  const bool has_scales =
      run == Run::survivors && problem.p.cache.survivor_format != KvFormat::bf16;
  const __nv_bfloat16* scales = reinterpret_cast<const __nv_bfloat16*>(stage + 2 * L::kSideBytes);
  Scores scores = {};
  multiply_keys<kHeadDim>(scores, shared_address(shared), shared_address(stage));
  if (has_scales) scale_columns(scores, scales, tiles.survivors - begin);
  mask(scores, problem, tiles, rows, run, begin);
  exponentiate(softmax, scores, kLog2e * problem.p.score_scale);
  if (has_scales) scale_columns(scores, scales + kTile, tiles.survivors - begin);
  multiply_values(softmax, scores, shared_address(stage + L::kSideBytes));
}

template <int kHeadDim>
__device__ __forceinline__ void load_queries(const Problem& problem,
                                             int32_t kv_head,
                                             int32_t first_row,
                                             uint32_t to) {
  using L = Layout<kHeadDim>;
  const int32_t group = problem.group();
  for (int v = static_cast<int>(threadIdx.x); v < kBlockRows * L::kChunks; v += kThreads) {
    const int32_t row = first_row + v / L::kChunks;
    const int chunk = v % L::kChunks;
    const bool is_valid = row < problem.rows();
    const int64_t from = is_valid ? static_cast<int64_t>(row / group) * problem.p.q_heads +
                                        kv_head * group + row % group
                                  : 0;
    copy_async_16(to + L::place(v / L::kChunks, chunk),
                  problem.p.queries + from * kHeadDim + chunk * 8,
                  is_valid);
  }
}

/// Through the warp's own queries in shared memory, which nobody needs any more.
template <int kHeadDim>
__device__ __forceinline__ void store_rows(const Softmax<kHeadDim>& softmax,
                                           const Problem& problem,
                                           int32_t kv_head,
                                           int32_t first_row,
                                           std::byte* shared) {
  using L = Layout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = static_cast<int>(threadIdx.x / 32) * kWarpRows;
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
  const int32_t group = problem.group();
  for (int v = lane; v < kWarpRows * L::kChunks; v += 32) {
    const int own_row = warp_row + v / L::kChunks;
    const int32_t row = first_row + own_row;
    if (row >= problem.rows()) break;
    const int chunk = v % L::kChunks;
    const int64_t to =
        static_cast<int64_t>(row / group) * problem.p.q_heads + kv_head * group + row % group;
    *reinterpret_cast<uint4*>(problem.p.out + to * kHeadDim + chunk * 8) =
        *reinterpret_cast<const uint4*>(shared + L::place(own_row, chunk));
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, 2) attention_kernel(const Problem problem) {
  using L = Layout<kHeadDim>;
  extern __shared__ __align__(128) std::byte shared[];
  std::byte* const stages = shared + L::kQueryBytes;
  const int32_t kv_head = static_cast<int32_t>(blockIdx.y);
  // The last rows see most: they begin first.
  const int32_t first_row = static_cast<int32_t>(gridDim.x - 1 - blockIdx.x) * kBlockRows;
  const int64_t head = head_index(problem.p.cache, problem.p.slot, problem.p.layer, kv_head);
  const Tiles tiles = tiles_of(problem, kv_head, head, first_row);

  load_queries<kHeadDim>(problem, kv_head, first_row, shared_address(shared));
  load_tile<kHeadDim>(problem, tiles, kv_head, head, 0, shared_address(stages));
  commit_copies();

  OwnRows rows;
  Softmax<kHeadDim> softmax;
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    rows.exact[r] =
        problem.exact_of(first_row + static_cast<int>(threadIdx.x / 32) * kWarpRows + 16 * (r / 2) +
                         8 * (r % 2) + static_cast<int>(threadIdx.x % 32) / 4);
    rows.kept[r] = problem.kept_before(kv_head, rows.exact[r]);
    softmax.highest[r] = -INFINITY;
  }
  for (int32_t tile = 0; tile < tiles.all; ++tile) {
    std::byte* const stage = stages + tile % kStages * L::kStageBytes;
    wait_for_copies<0>();
    __syncthreads();  // the tile is there for all, and the one before is done with
    if (tile + 1 < tiles.all) {
      load_tile<kHeadDim>(problem,
                          tiles,
                          kv_head,
                          head,
                          tile + 1,
                          shared_address(stages + (tile + 1) % kStages * L::kStageBytes));
      commit_copies();
    }
    if (tile < tiles.survivor_tiles && problem.p.cache.survivor_format != KvFormat::bf16) {
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
  const int64_t rows =
      static_cast<int64_t>(params.count) * (params.q_heads / params.cache.kv_heads);
  const dim3 grid(static_cast<unsigned>((rows + kBlockRows - 1) / kBlockRows),
                  static_cast<unsigned>(params.cache.kv_heads));
  return with_head_dim(params.cache.head_dim, [&](auto head_dim) {
    using L = Layout<head_dim.value>;
    const cudaError_t error = cudaFuncSetAttribute(attention_kernel<head_dim.value>,
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   L::kSharedBytes);
    if (error != cudaSuccess) return error;
    attention_kernel<head_dim.value>
        <<<grid, kThreads, L::kSharedBytes, stream>>>({params, prefill_workspace(params)});
    return cudaGetLastError();
  });
}

}  // namespace dms::cuda
