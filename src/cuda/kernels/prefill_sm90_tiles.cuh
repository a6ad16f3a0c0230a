#pragma once
// How one warpgroup of a block brings tiles of keys and values into shared memory on sm_90a. Dense
// runs and full pages in bf16 come by tensor maps: a page of D channels is 32 rows of 2 D bytes
// wherever it begins, so that one map over the arena serves all. Codes, and the last survivors
// where their pages are not full (what lies behind them may be NaN), are read, converted and
// zero-filled by the warpgroup's threads.

#include "cuda/kernels/attention_codes.cuh"
#include "cuda/kernels/hopper.cuh"
#include "cuda/kernels/prefill_problem.cuh"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda::sm90 {

inline constexpr int kGroupThreads = 128;
inline constexpr int kConsumers = 2;  // warpgroups
inline constexpr int kThreads = kGroupThreads * (1 + kConsumers);
inline constexpr int kGroupRows = 64;
inline constexpr int kBlockRows = kConsumers * kGroupRows;
inline constexpr int kTile = 128;
inline constexpr int kTilePages = kTile / kPageTokens;
inline constexpr int kColumnBytes = 128;  // of a row in shared memory: what a swizzle spans
inline constexpr int kColumn = 64;        // channels
// Of 504 for a thread of each of the three warpgroups.
inline constexpr int kProducerRegisters = 72;
inline constexpr int kConsumerRegisters = 216;

using Tiles = PrefillTiles<kTile>;

/// Shared memory: queries of both warpgroups, stages, barriers, Tiles, edges. Rows lie in columns
/// of 64 channels: [head_dim / 64, rows, 128 bytes].
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
  static constexpr int kEdgesAt = kTilesAt + static_cast<int>(sizeof(Tiles));
  static constexpr int kBytes = kEdgesAt + 2 * kConsumers * static_cast<int>(sizeof(RowEdge));
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

template <int kHeadDim>
struct Block {
  using L = Layout<kHeadDim>;

  const PrefillProblem& problem;
  const Maps& maps;
  const Tiles& tiles;    // in shared memory: consumers have no registers to spare
  const RowEdge* edges;  // likewise: the first and the last row of each consumer
  int32_t kv_head = 0;
  int64_t head = 0;
  std::byte* shared = nullptr;

  __device__ __forceinline__ uint32_t full(int32_t tile) const {
    return shared_address(shared + L::kBarriersAt) + 8 * L::stage(tile);
  }
  __device__ __forceinline__ uint32_t empty(int32_t tile) const {
    return full(tile) + 8 * L::kStages;
  }
  __device__ __forceinline__ std::byte* stage(int32_t tile) const {
    return shared + L::kStagesAt + L::stage(tile) * L::kStage;
  }
  __device__ __forceinline__ __nv_bfloat16* scales(int32_t tile) const {
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

/// By one thread.
template <int kHeadDim>
__device__ __forceinline__ void copy_tile(const Block<kHeadDim>& block, int32_t tile) {
  using L = Layout<kHeadDim>;
  const uint32_t barrier = block.full(tile);
  const uint32_t keys = shared_address(block.stage(tile));
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

__device__ __forceinline__ Channels read_channels(KvFormat format, const std::byte* side, int v) {
  if (format == KvFormat::bf16) {
    const auto* from = reinterpret_cast<const uint4*>(side) + 2 * v;
    return {from[0], from[1]};
  }
  return decode_codes(format, reinterpret_cast<const uint4*>(side)[v]);
}

/// By the warpgroup's threads.
template <int kHeadDim>
__device__ __forceinline__ void bring_tile(const Block<kHeadDim>& block, int32_t tile) {
  using L = Layout<kHeadDim>;
  constexpr int kRowVectors = kHeadDim / 16;
  const KvFormat format = block.problem.p.cache.survivor_format;
  const int side_size = side_bytes(format, kHeadDim);
  std::byte* const stage = block.stage(tile);
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
      if (row < valid) channels = read_channels(format, page + side * side_size, own);
      std::byte* to = stage + side * L::kSide;
      store_channels(channels, chunk, [&](int at) {
        return to + at / 8 * L::kTileColumn + swizzled(row, at % 8);
      });
    }
    if (format != KvFormat::bf16 && threadIdx.x < 2 * kPageTokens) {
      const int token = i * kPageTokens + static_cast<int>(threadIdx.x % kPageTokens);
      const auto* from = reinterpret_cast<const __nv_bfloat16*>(page + 2 * side_size);
      block.scales(tile)[threadIdx.x / kPageTokens * kTile + token] =
          token < valid ? from[threadIdx.x] : __float2bfloat16(0.0f);
    }
  }
  fence_async_proxy();
}

template <int kHeadDim>
__device__ __forceinline__ void produce(const Block<kHeadDim>& block) {
  using L = Layout<kHeadDim>;
  for (int32_t tile = 0; tile < block.tiles.end_tile; ++tile) {
    if (threadIdx.x == 0 && tile >= L::kStages) {
      wait_for_phase(block.empty(tile), L::parity(tile - L::kStages));
    }
    if (block.is_brought(tile)) {
      sync_threads_of<1, kGroupThreads>();
      bring_tile(block, tile);
      sync_threads_of<1, kGroupThreads>();
      if (threadIdx.x == 0) arrive(block.full(tile));
    } else if (threadIdx.x == 0) {
      copy_tile(block, tile);
    }
  }
}

}  // namespace dms::cuda::sm90
