// Attention of a chunk (prefill_problem.cuh) by wgmma. A block takes 128 rows: two warpgroups of 64
// that multiply, and one that brings tiles of 128 tokens. Dense runs and full pages in bf16 come by
// tensor maps: a page of D channels is 32 rows of 2 D bytes wherever it begins, so that one map
// over the arena serves all. Codes, and the last survivors where pages are not full (what lies
// behind them may be NaN), are brought, converted and zero-filled by the warpgroup's threads.
// A warpgroup starts a tile's scores before the weighted sum of the tile before, and takes the
// exponentials while that sum is under way.

#include <cuda.h>

#include "cuda/kernels/attention_codes.cuh"
#include "cuda/kernels/hopper.cuh"
#include "cuda/kernels/prefill_problem.cuh"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kConsumers = 2;  // warpgroups
constexpr int kThreads = kGroupThreads * (1 + kConsumers);
constexpr int kGroupRows = 64;
constexpr int kBlockRows = kConsumers * kGroupRows;
constexpr int kTile = 128;
constexpr int kTilePages = kTile / kPageTokens;
constexpr int kColumnBytes = 128;  // of a row in shared memory: what a swizzle spans
constexpr int kColumn = 64;        // channels
constexpr float kLog2e = 1.44269504088896340736f;
// Of 504 for a thread of each of the three warpgroups.
constexpr int kProducerRegisters = 72;
constexpr int kConsumerRegisters = 216;

using Tiles = PrefillTiles<kTile>;

/// Shared memory: queries of both warpgroups, stages, barriers, Tiles. Rows lie in columns of 64
/// channels: [head_dim / 64, rows, 128 bytes].
template <int kHeadDim>
struct Layout {
  static constexpr int kStages = 3;
  static constexpr int kColumns = kHeadDim / kColumn;
  static constexpr int kQueryColumn = kGroupRows * kColumnBytes;
  static constexpr int kGroupQueries = kColumns * kQueryColumn;
  static constexpr int kTileColumn = kTile * kColumnBytes;
  static constexpr int kSide = kColumns * kTileColumn;
  static constexpr int kStage = 2 * kSide;
  static constexpr int kScales = 2 * kTile * 2;  // of a stage, the keys' and the values'
  static constexpr int kStagesAt = kConsumers * kGroupQueries;
  static constexpr int kScalesAt = kStagesAt + kStages * kStage;
  static constexpr int kBarriersAt = kScalesAt + kStages * kScales;
  static constexpr int kTilesAt = kBarriersAt + 2 * kStages * 8;
  static constexpr int kBytes = kTilesAt + static_cast<int>(sizeof(Tiles));
  static constexpr int kAlignment = 1024;
  static constexpr int kSharedBytes = kBytes + kAlignment;

  static __device__ __forceinline__ int stage(int32_t tile) { return tile % kStages; }
  static __device__ __forceinline__ uint32_t parity(int32_t tile) {
    return static_cast<uint32_t>(tile / kStages & 1);
  }
};

/// Where a chunk of eight channels of a row lies within its column of rows.
__device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * kColumnBytes + ((chunk ^ (row & 7)) << 4);
}

struct Maps {
  CUtensorMap exact;  // [2 * kv_heads, tokens, head_dim]: keys, then values
  CUtensorMap kept;   // likewise
  CUtensorMap pages;  // [arena's rows, head_dim]
};

struct Block {
  const PrefillProblem& problem;
  const Maps& maps;
  const Tiles& tiles;  // in shared memory: consumers have no registers to spare
  int32_t kv_head = 0;
  int64_t head = 0;
  std::byte* shared = nullptr;

  template <int kHeadDim>
  __device__ __forceinline__ uint32_t full(int32_t tile) const {
    using L = Layout<kHeadDim>;
    return shared_address(shared + L::kBarriersAt) + 8 * L::stage(tile);
  }
  template <int kHeadDim>
  __device__ __forceinline__ uint32_t empty(int32_t tile) const {
    return full<kHeadDim>(tile) + 8 * Layout<kHeadDim>::kStages;
  }
  template <int kHeadDim>
  __device__ __forceinline__ std::byte* stage(int32_t tile) const {
    using L = Layout<kHeadDim>;
    return shared + L::kStagesAt + L::stage(tile) * L::kStage;
  }
  template <int kHeadDim>
  __device__ __forceinline__ __nv_bfloat16* scales(int32_t tile) const {
    using L = Layout<kHeadDim>;
    return reinterpret_cast<__nv_bfloat16*>(shared + L::kScalesAt + L::stage(tile) * L::kScales);
  }
  __device__ __forceinline__ bool has_scales(int32_t tile) const {
    return tile < tiles.kept_tile && problem.p.cache.survivor_format != KvFormat::bf16;
  }
  /// Whether threads bring a tile.
  __device__ __forceinline__ bool is_brought(int32_t tile) const {
    return has_scales(tile) || (tile < tiles.kept_tile && (tile + 1) * kTile > tiles.survivors);
  }
  __device__ __forceinline__ uint32_t page(int32_t tile, int index) const {
    const CacheView& cache = problem.p.cache;
    return cache.survivor_table[head * cache.max_pages + tile * kTilePages + index];
  }
};

// ------------------------------------------------------------------------- bringing tiles

/// By one thread.
template <int kHeadDim>
__device__ __forceinline__ void copy_tile(const Block& block, int32_t tile) {
  using L = Layout<kHeadDim>;
  const uint32_t barrier = block.full<kHeadDim>(tile);
  const uint32_t keys = shared_address(block.stage<kHeadDim>(tile));
  arrive_expecting(barrier, L::kStage);
  if (block.tiles.run(tile) == PrefillRun::survivors) {
    constexpr int kRowUnits = 2 * kHeadDim / kPageUnit;  // 0: half a unit
    for (int i = 0; i < kTilePages; ++i) {
      const uint32_t unit = block.page(tile, i);
      const int row = static_cast<int>(kRowUnits == 0 ? 2 * unit : unit);
      for (int column = 0; column < L::kColumns; ++column) {
        const uint32_t to = keys + column * L::kTileColumn + i * kPageTokens * kColumnBytes;
        copy_box(to, block.maps.pages, column * kColumn, row, barrier);
        copy_box(to + L::kSide, block.maps.pages, column * kColumn, row + kPageTokens, barrier);
      }
    }
    return;
  }
  const CUtensorMap& map =
      block.tiles.run(tile) == PrefillRun::kept ? block.maps.kept : block.maps.exact;
  const int32_t row = block.tiles.begin(tile);
  for (int column = 0; column < L::kColumns; ++column) {
    const uint32_t to = keys + column * L::kTileColumn;
    copy_box(to, map, column * kColumn, row, block.kv_head, barrier);
    copy_box(to + L::kSide,
             map,
             column * kColumn,
             row,
             block.kv_head + block.problem.p.cache.kv_heads,
             barrier);
  }
}

/// Sixteen channels of a token, as bf16.
struct Channels {
  uint4 low;
  uint4 high;
};

template <int kHeadDim>
__device__ __forceinline__ Channels read_channels(KvFormat format, const std::byte* side, int v) {
  if (format == KvFormat::bf16) {
    const auto* from = reinterpret_cast<const uint4*>(side) + 2 * v;
    return {from[0], from[1]};
  }
  const uint4 codes = reinterpret_cast<const uint4*>(side)[v];
  const uint2 a = decode_codes(format, codes.x);
  const uint2 b = decode_codes(format, codes.y);
  const uint2 c = decode_codes(format, codes.z);
  const uint2 d = decode_codes(format, codes.w);
  return {{a.x, a.y, b.x, b.y}, {c.x, c.y, d.x, d.y}};
}

/// By the warpgroup's threads.
template <int kHeadDim>
__device__ __forceinline__ void bring_tile(const Block& block, int32_t tile) {
  using L = Layout<kHeadDim>;
  constexpr int kRowVectors = kHeadDim / 16;
  const KvFormat format = block.problem.p.cache.survivor_format;
  const int side_size = side_bytes(format, kHeadDim);
  std::byte* const stage = block.stage<kHeadDim>(tile);
  const int32_t valid = block.tiles.survivors - tile * kTile;
  for (int i = 0; i < kTilePages; ++i) {
    const bool is_there = i * kPageTokens < valid;
    const std::byte* page = block.problem.p.cache.arena +
                            (is_there ? static_cast<int64_t>(block.page(tile, i)) * kPageUnit : 0);
#pragma unroll 4
    for (int v = static_cast<int>(threadIdx.x); v < 2 * kPageTokens * kRowVectors;
         v += kGroupThreads) {
      const int side = v / (kPageTokens * kRowVectors);
      const int own = v % (kPageTokens * kRowVectors);
      const int row = i * kPageTokens + own / kRowVectors;
      const int chunk = own % kRowVectors * 2;
      Channels channels{};
      if (row < valid) {
        channels = read_channels<kHeadDim>(format, page + side * side_size, own);
      }
      std::byte* to = stage + side * L::kSide + chunk / 8 * L::kTileColumn;
      *reinterpret_cast<uint4*>(to + swizzled(row, chunk % 8)) = channels.low;
      *reinterpret_cast<uint4*>(to + swizzled(row, chunk % 8 + 1)) = channels.high;
    }
    if (format != KvFormat::bf16 && threadIdx.x < 2 * kPageTokens) {
      const int token = i * kPageTokens + static_cast<int>(threadIdx.x % kPageTokens);
      const auto* from = reinterpret_cast<const __nv_bfloat16*>(page + 2 * side_size);
      block.scales<kHeadDim>(tile)[threadIdx.x / kPageTokens * kTile + token] =
          token < valid ? from[threadIdx.x] : __float2bfloat16(0.0f);
    }
  }
  fence_async_proxy();
}

template <int kHeadDim>
__device__ __forceinline__ void produce(const Block& block) {
  using L = Layout<kHeadDim>;
  for (int32_t tile = 0; tile < block.tiles.end_tile; ++tile) {
    if (threadIdx.x == 0 && tile >= L::kStages) {
      wait_for_phase(block.empty<kHeadDim>(tile), L::parity(tile - L::kStages));
    }
    if (block.is_brought(tile)) {
      sync_threads_of<1, kGroupThreads>();
      bring_tile<kHeadDim>(block, tile);
      sync_threads_of<1, kGroupThreads>();
      if (threadIdx.x == 0) arrive(block.full<kHeadDim>(tile));
    } else if (threadIdx.x == 0) {
      copy_tile<kHeadDim>(block, tile);
    }
  }
}

// ------------------------------------------------------------------------- attending them

/// A thread's part of its warpgroup's 64 rows: rows 16 warp + lane / 4 and eight further on.
template <int kHeadDim>
struct Rows {
  float sums[kHeadDim / 2] = {};
  float highest[2] = {-INFINITY, -INFINITY};
  float total[2] = {};
  int32_t exact[2];
  int32_t kept[2];
};

using Scores = float[kTile / 2];

template <int kHeadDim>
__device__ __forceinline__ void multiply_keys(Scores& scores, uint32_t queries, uint32_t keys) {
  using L = Layout<kHeadDim>;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    const uint32_t depth = k % 4 * 32;
    multiply_64x128(scores,
                    operand(queries + k / 4 * L::kQueryColumn + depth),
                    operand(keys + k / 4 * L::kTileColumn + depth),
                    k > 0);
  }
  commit_products();
}

template <int kHeadDim>
__device__ __forceinline__ void multiply_values(float (&sums)[kHeadDim / 2],
                                                const uint32_t (&weights)[kTile / 16][4],
                                                uint32_t values) {
  using L = Layout<kHeadDim>;
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
    const uint64_t b = operand(values + k * 16 * kColumnBytes, L::kTileColumn);
    if constexpr (kHeadDim == 128) {
      multiply_add_64x128(sums, weights[k], b);
    } else {
      multiply_add_64x64(sums, weights[k], b);
    }
  }
  commit_products();
}

__device__ __forceinline__ int column_of(int e) {
  return 8 * (e / 4) + static_cast<int>(threadIdx.x % 4) * 2 + e % 2;
}

__device__ __forceinline__ void scale_columns(Scores& scores, const __nv_bfloat16* scales) {
#pragma unroll
  for (int e = 0; e < kTile / 2; e += 4) {
    const __nv_bfloat162 pair = *reinterpret_cast<const __nv_bfloat162*>(scales + column_of(e));
    const float2 scale = __bfloat1622float2(pair);
    scores[e] *= scale.x;
    scores[e + 1] *= scale.y;
    scores[e + 2] *= scale.x;
    scores[e + 3] *= scale.y;
  }
}

/// Hides from both rows the tokens of a tile that they do not see.
template <int kHeadDim>
__device__ __forceinline__ void mask(Scores& scores,
                                     const Rows<kHeadDim>& rows,
                                     const Block& block,
                                     int32_t tile) {
  const PrefillRun run = block.tiles.run(tile);
  const int32_t begin = block.tiles.begin(tile);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const VisibleTokens visible = visible_tokens(
        run, block.problem.p.window, block.tiles.survivors, rows.kept[r], rows.exact[r]);
    const int32_t low = visible.begin - begin;
    const int32_t high = visible.end - begin;
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      if (column_of(e) < low || column_of(e) >= high) scores[e] = -INFINITY;
      if (column_of(e + 1) < low || column_of(e + 1) >= high) scores[e + 1] = -INFINITY;
    }
  }
}

/// scores become weights; returns what brings former sums to the new highest scores.
template <int kHeadDim>
__device__ __forceinline__ float2 exponentiate(Scores& scores, Rows<kHeadDim>& rows, float scale) {
  float corrections[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float highest = rows.highest[r];
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      highest = fmaxf(highest, fmaxf(scores[e], scores[e + 1]));
    }
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
    // A row that has seen nothing yet: all its differences are -inf, not NaN.
    const float base = highest == -INFINITY ? 0.0f : highest * scale;
    corrections[r] = exp2_approximate(rows.highest[r] * scale - base);
    rows.highest[r] = highest;
    rows.total[r] *= corrections[r];
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      scores[e] = exp2_approximate(fmaf(scores[e], scale, -base));
      scores[e + 1] = exp2_approximate(fmaf(scores[e + 1], scale, -base));
      rows.total[r] += scores[e] + scores[e + 1];
    }
  }
  return {corrections[0], corrections[1]};
}

/// Scores of a tile, which are there, to weights.
template <int kHeadDim>
__device__ __forceinline__ float2
weigh(Scores& scores, Rows<kHeadDim>& rows, const Block& block, int32_t tile) {
  const bool has_scales = block.has_scales(tile);
  const __nv_bfloat16* scales = block.scales<kHeadDim>(tile);
  if (has_scales) scale_columns(scores, scales);
  mask(scores, rows, block, tile);
  const float2 corrections = exponentiate(scores, rows, kLog2e * block.problem.p.score_scale);
  if (has_scales) scale_columns(scores, scales + kTile);
  return corrections;
}

__device__ __forceinline__ void pack(uint32_t (&weights)[kTile / 16][4], const Scores& scores) {
#pragma unroll
  for (int e = 0; e < kTile / 2; e += 2) {
    weights[e / 8][e % 8 / 2] = pack_bf16(scores[e], scores[e + 1]);
  }
}

template <int kHeadDim>
__device__ __forceinline__ void release(const Block& block, int32_t tile) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(block.empty<kHeadDim>(tile));
}

template <int kHeadDim>
__device__ __forceinline__ void attend(Rows<kHeadDim>& rows, const Block& block, uint32_t queries) {
  using L = Layout<kHeadDim>;
  Scores scores;
  uint32_t weights[kTile / 16][4];
  wait_for_phase(block.full<kHeadDim>(0), L::parity(0));
  begin_products();
  multiply_keys<kHeadDim>(scores, queries, shared_address(block.stage<kHeadDim>(0)));
  wait_for_products<0>();
  weigh(scores, rows, block, 0);
  pack(weights, scores);
  int32_t tile = 0;
  for (; tile + 1 < block.tiles.end_tile; ++tile) {
    wait_for_phase(block.full<kHeadDim>(tile + 1), L::parity(tile + 1));
    begin_products();
    multiply_keys<kHeadDim>(scores, queries, shared_address(block.stage<kHeadDim>(tile + 1)));
    multiply_values<kHeadDim>(
        rows.sums, weights, shared_address(block.stage<kHeadDim>(tile) + L::kSide));
    wait_for_products<1>();
    const float2 corrections = weigh(scores, rows, block, tile + 1);
    wait_for_products<0>();
    release<kHeadDim>(block, tile);
#pragma unroll
    for (int e = 0; e < kHeadDim / 2; ++e) {
      rows.sums[e] *= e / 2 % 2 == 0 ? corrections.x : corrections.y;
    }
    pack(weights, scores);
  }
  begin_products();
  multiply_values<kHeadDim>(
      rows.sums, weights, shared_address(block.stage<kHeadDim>(tile) + L::kSide));
  wait_for_products<0>();
}

template <int kHeadDim>
__device__ __forceinline__ void load_queries(const Block& block,
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
                                           const Block& block,
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
__device__ __forceinline__ void consume(const Block& block, int32_t first_row) {
  using L = Layout<kHeadDim>;
  const int group = static_cast<int>(threadIdx.x / kGroupThreads) - 1;
  const int32_t group_row = first_row + group * kGroupRows;
  std::byte* const queries = block.shared + group * L::kGroupQueries;
  load_queries<kHeadDim>(block, group_row, queries);
  sync_consumers(group);
  Rows<kHeadDim> rows;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.exact[r] =
        block.problem.exact_of(group_row + static_cast<int>(threadIdx.x % kGroupThreads / 32) * 16 +
                               static_cast<int>(threadIdx.x % 32) / 4 + 8 * r);
    rows.kept[r] = block.problem.kept_before(block.kv_head, rows.exact[r]);
  }
  attend(rows, block, shared_address(queries));
  sync_consumers(group);  // its queries are read
  store_rows(rows, block, group_row, queries);
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, 1)
    attention_kernel(const PrefillProblem problem, const __grid_constant__ Maps maps) {
  using L = Layout<kHeadDim>;
  extern __shared__ __align__(1024) std::byte unaligned[];
  std::byte* const shared = unaligned + (L::kAlignment - 1 & -shared_address(unaligned));
  auto& tiles = *reinterpret_cast<Tiles*>(shared + L::kTilesAt);
  Block block{problem, maps, tiles};
  block.shared = shared;
  block.kv_head = static_cast<int32_t>(blockIdx.y);
  // The last rows see most: they begin first.
  const int32_t first_row = static_cast<int32_t>(gridDim.x - 1 - blockIdx.x) * kBlockRows;
  block.head = head_index(problem.p.cache, problem.p.slot, problem.p.layer, block.kv_head);
  if (threadIdx.x == 0) {
    tiles = prefill_tiles<kTile>(problem, block.kv_head, block.head, first_row, kBlockRows);
    for (int stage = 0; stage < L::kStages; ++stage) {
      init_barrier(block.full<kHeadDim>(stage), 1);
      init_barrier(block.empty<kHeadDim>(stage), kConsumers * kGroupThreads / 32);
    }
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x < kGroupThreads) {
    give_registers<kProducerRegisters>();
    produce<kHeadDim>(block);
  } else {
    take_registers<kConsumerRegisters>();
    consume<kHeadDim>(block, first_row);
  }
}

// ------------------------------------------------------------------------- launching

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
  const Encode encode_tiled = find_encode();
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

cudaError_t prefill_attention_sm90(const PrefillAttentionParams& params, cudaStream_t stream) {
  if (const cudaError_t error = check(params); error != cudaSuccess) return error;
  const int32_t head_dim = params.cache.head_dim;
  if (head_dim != 64 && head_dim != 128) return cudaErrorNotSupported;
  if (params.count == 0) return cudaSuccess;
  if (const cudaError_t error = gather_exact(params, stream); error != cudaSuccess) return error;
  const PrefillProblem problem = prefill_problem(params);
  return head_dim == 64 ? launch<64>(problem, stream) : launch<128>(problem, stream);
}

}  // namespace dms::cuda
