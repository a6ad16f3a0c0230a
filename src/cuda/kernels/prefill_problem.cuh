#pragma once
// What a block of a chunk's attention works on: which query rows, and which tiles of keys and
// values some of them sees. Rows are (token, query head of the group) in order, so that one load of
// keys and values serves a whole group.

#include "cuda/kernels/prefill_workspace.h"

namespace dms::cuda {

/// What limits a row's sight.
struct RowEdge {
  int32_t exact;  // the exact token that its query is
  int32_t kept;   // kept exact tokens that lie beyond its band
};

struct PrefillProblem {
  PrefillAttentionParams p{};
  PrefillWorkspace w{};
  int32_t group = 1;
  int32_t rows = 0;  // count * group

  /// The exact token that a row's query is, rows beyond the last being the last.
  __device__ __forceinline__ int32_t exact_of(int32_t row) const {
    return p.first - p.sealed_end + min(row, rows - 1) / group;
  }
  /// Kept exact tokens that lie beyond the band of a query.
  __device__ __forceinline__ int32_t kept_before(int32_t kv_head, int32_t exact) const {
    const int32_t edge = exact - p.window;
    return edge > 0 ? w.ranks[static_cast<int64_t>(kv_head) * (w.kept_room + 1) + edge] : 0;
  }
  __device__ __forceinline__ RowEdge edge_of(int32_t kv_head, int32_t row) const {
    const int32_t exact = exact_of(row);
    return {exact, kept_before(kv_head, exact)};
  }
  /// Where a row's query and result begin.
  __device__ __forceinline__ int64_t row_offset(int32_t kv_head, int32_t row) const {
    const int64_t q_head =
        static_cast<int64_t>(row / group) * p.q_heads + kv_head * group + row % group;
    return q_head * p.cache.head_dim;
  }
};

inline PrefillProblem prefill_problem(const PrefillAttentionParams& params) {
  const int32_t group = params.q_heads / params.cache.kv_heads;
  return {params, prefill_workspace(params), group, params.count * group};
}

enum class PrefillRun : int32_t { survivors, kept, band };

/// The tiles of `kTokens` tokens of one block, run after run. Tokens of a run are counted as they
/// lie: survivors, kept ones, exact ones.
template <int kTokens>
struct PrefillTiles {
  int32_t survivors = 0;
  int32_t kept = 0;  // that the block's last row sees
  int32_t band_begin = 0;
  int32_t band_end = 0;
  int32_t kept_tile = 0;  // the first one
  int32_t band_tile = 0;
  int32_t end_tile = 0;

  __device__ __forceinline__ PrefillRun run(int32_t tile) const {
    if (tile < kept_tile) return PrefillRun::survivors;
    return tile < band_tile ? PrefillRun::kept : PrefillRun::band;
  }
  /// The first token of a tile.
  __device__ __forceinline__ int32_t begin(int32_t tile) const {
    if (tile < kept_tile) return tile * kTokens;
    if (tile < band_tile) return (tile - kept_tile) * kTokens;
    return band_begin + (tile - band_tile) * kTokens;
  }
  /// The end of the tokens of a run.
  __device__ __forceinline__ int32_t end(PrefillRun of) const {
    if (of == PrefillRun::survivors) return survivors;
    return of == PrefillRun::kept ? kept : band_end;
  }
};

template <int kTokens>
__device__ __forceinline__ PrefillTiles<kTokens> prefill_tiles(
    const PrefillProblem& problem, int32_t kv_head, int64_t head, int32_t first_row, int32_t rows) {
  const int32_t low = problem.exact_of(first_row);
  const int32_t high = problem.exact_of(first_row + rows - 1);
  PrefillTiles<kTokens> tiles;
  tiles.survivors = problem.p.cache.survivors[head];
  tiles.kept = problem.kept_before(kv_head, high);
  tiles.band_begin = max(0, low - problem.p.window);
  tiles.band_end = high + 1;
  tiles.kept_tile = (tiles.survivors + kTokens - 1) / kTokens;
  tiles.band_tile = tiles.kept_tile + (tiles.kept + kTokens - 1) / kTokens;
  tiles.end_tile = tiles.band_tile + (tiles.band_end - tiles.band_begin + kTokens - 1) / kTokens;
  return tiles;
}

/// The tokens of a run that a row sees: [begin, end).
struct VisibleTokens {
  int32_t begin;
  int32_t end;
};

__device__ __forceinline__ VisibleTokens visible_tokens(PrefillRun run,
                                                        const PrefillProblem& problem,
                                                        int32_t survivors,
                                                        const RowEdge& row) {
  if (run == PrefillRun::survivors) return {0, survivors};
  if (run == PrefillRun::kept) return {0, row.kept};
  return {row.exact - problem.p.window, row.exact + 1};
}

}  // namespace dms::cuda
