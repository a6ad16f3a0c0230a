#pragma once
// How one warpgroup of a block brings tiles of keys and values into shared memory on sm_90a. Dense
// runs and full pages in bf16 come by tensor maps: a page of D channels is 32 rows of 2 D bytes
// wherever it begins, so that one map over the arena serves all. Codes, and the last survivors
// where their pages are not full (what lies behind them may be NaN), are read, converted and
// zero-filled by the warpgroup's threads.

#include <type_traits>

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

/// Before a stage is written.
template <int kHeadDim>
__device__ __forceinline__ void wait_until_empty(const Block<kHeadDim>& block, int32_t tile) {
  using L = Layout<kHeadDim>;
  if (tile >= L::kStages) wait_for_phase(block.empty(tile), L::parity(tile - L::kStages));
}

/// A tile of survivors on its way through a thread's registers, a batch at a time: all of a batch
/// is asked for before any of it is used, so that a tile waits for memory once or twice. Pages
/// behind the last survivor are not read.
template <int kHeadDim, KvFormat kFormat>
struct TileReader {
  using L = Layout<kHeadDim>;
  using Codes = std::conditional_t<kFormat == KvFormat::bf16, Channels, uint4>;
  static constexpr int kRowVectors = kHeadDim / 16;                               // of 16 channels
  static constexpr int kSideVectors = kPageTokens * kRowVectors / kGroupThreads;  // of a thread
  static constexpr int kVectors = kTilePages * 2 * kSideVectors;                  // likewise
  static constexpr int kBatch = kFormat == KvFormat::bf16 ? 2 : 8;
  static_assert(kSideVectors > 0 && kVectors % kBatch == 0);

  static constexpr int kTurnRows = kGroupThreads / kRowVectors;
  static_assert(kTurnRows % 8 == 0);  // a thread's rows are swizzled alike

  /// Where a thread's n-th vector lies, beside its first one.
  struct Vector {
    int page;
    int side;
    int turn;
    int row;
  };

  const std::byte* arena;
  uint32_t pages[kTilePages];  // in units of the arena
  int32_t valid;               // tokens
  Codes codes[kBatch];
  __nv_bfloat16 scales[kTilePages / 2];

  __device__ __forceinline__ static constexpr Vector vector(int n) {
    const int page = n / (2 * kSideVectors);
    const int turn = n % kSideVectors;
    return {page, n / kSideVectors % 2, turn, page * kPageTokens + turn * kTurnRows};
  }
  __device__ __forceinline__ static int own_row() {
    return static_cast<int>(threadIdx.x) / kRowVectors;
  }

  __device__ __forceinline__ TileReader(const Block<kHeadDim>& block, int32_t tile)
      : arena(block.problem.p.cache.arena), valid(block.tiles.survivors - tile * kTile) {
#pragma unroll
    for (int i = 0; i < kTilePages; ++i) {
      pages[i] = i * kPageTokens < valid ? block.page(tile, i) : 0;
    }
  }

  __device__ __forceinline__ const std::byte* page_of(uint32_t unit) const {
    return arena + static_cast<int64_t>(unit) * kPageUnit;
  }

  /// A thread's scales are those of one place of every second page.
  __device__ __forceinline__ void load_scales() {
    constexpr int kEntries = 2 * kPageTokens;  // of a page: keys' and values'
    const int entry = static_cast<int>(threadIdx.x) % kEntries;
    const bool is_second = threadIdx.x >= kEntries;
#pragma unroll
    for (int i = 0; i < kTilePages / 2; ++i) {
      const std::byte* page = page_of(is_second ? pages[2 * i + 1] : pages[2 * i]);
      const auto* from =
          reinterpret_cast<const __nv_bfloat16*>(page + 2 * side_bytes(kFormat, kHeadDim));
      const int token = scale_token(i);
      scales[i] = token < valid ? from[entry] : __float2bfloat16(0.0f);
    }
  }
  __device__ __forceinline__ void store_scales(__nv_bfloat16* to) const {
    const int side = static_cast<int>(threadIdx.x) / kPageTokens % 2;
#pragma unroll
    for (int i = 0; i < kTilePages / 2; ++i) to[side * kTile + scale_token(i)] = scales[i];
  }
  __device__ __forceinline__ static int scale_token(int i) {
    const auto thread = static_cast<int>(threadIdx.x);
    return (2 * i + thread / (2 * kPageTokens)) * kPageTokens + thread % kPageTokens;
  }

  __device__ __forceinline__ void load(int batch) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const Vector v = vector(batch * kBatch + i);
      const auto* side = reinterpret_cast<const Codes*>(page_of(pages[v.page]) +
                                                        v.side * side_bytes(kFormat, kHeadDim));
      codes[i] = v.row + own_row() < valid ? side[v.turn * kGroupThreads + threadIdx.x] : Codes{};
    }
  }
  __device__ __forceinline__ void store(int batch, std::byte* stage) const {
    const int chunk = static_cast<int>(threadIdx.x) % kRowVectors * 2;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const Vector v = vector(batch * kBatch + i);
      Channels channels;
      if constexpr (kFormat == KvFormat::bf16) {
        channels = codes[i];
      } else {
        channels = decode_codes(kFormat, codes[i]);
      }
      store_channels(channels, chunk, [&](int at) {
        return stage + (at / 8 * L::kTileColumn + swizzled(own_row(), at % 8)) +
               (v.side * L::kSide + v.row * kColumnBytes);
      });
    }
  }
};

/// By the warpgroup's threads.
template <int kHeadDim, KvFormat kFormat>
__device__ __forceinline__ void bring_tile(const Block<kHeadDim>& block, int32_t tile) {
  using Reader = TileReader<kHeadDim, kFormat>;
  Reader reader(block, tile);
  reader.load(0);
  constexpr bool kHasScales = kFormat != KvFormat::bf16;
  if constexpr (kHasScales) reader.load_scales();
  if (threadIdx.x == 0) wait_until_empty(block, tile);
  __syncwarp();
  sync_threads_of<1, kGroupThreads>();
  std::byte* const stage = block.stage(tile);
#pragma unroll
  for (int batch = 0; batch < Reader::kVectors / Reader::kBatch; ++batch) {
    if (batch > 0) reader.load(batch);
    reader.store(batch, stage);
  }
  if constexpr (kHasScales) reader.store_scales(block.scales(tile));
  fence_async_proxy();
  __syncwarp();
  sync_threads_of<1, kGroupThreads>();
  if (threadIdx.x == 0) arrive(block.full(tile));
}

template <int kHeadDim>
__device__ __forceinline__ void bring_tile(const Block<kHeadDim>& block, int32_t tile) {
  switch (block.problem.p.cache.survivor_format) {
    case KvFormat::bf16:
      return bring_tile<kHeadDim, KvFormat::bf16>(block, tile);
    case KvFormat::fp8:
      return bring_tile<kHeadDim, KvFormat::fp8>(block, tile);
    case KvFormat::int8:
      return bring_tile<kHeadDim, KvFormat::int8>(block, tile);
  }
}

template <int kHeadDim>
__device__ __forceinline__ void produce(const Block<kHeadDim>& block) {
  for (int32_t tile = 0; tile < block.tiles.end_tile; ++tile) {
    if (block.is_brought(tile)) {
      bring_tile(block, tile);
    } else if (threadIdx.x == 0) {
      wait_until_empty(block, tile);
      copy_tile(block, tile);
    }
  }
}

}  // namespace dms::cuda::sm90
