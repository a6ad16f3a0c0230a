#include "model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/alibi.h"
#include "kernels/attention.h"
#include "kernels/low_rank.h"

namespace dms::model {
namespace {

using kernels::AttentionPartial;
using kernels::kMaxTilePositions;

constexpr auto kPageTokens = static_cast<size_t>(kernels::kPageTokens);

// A tile with few query rows is bound by reading K/V, and one long head would keep one thread busy
// alone: its pages are split into pieces of 32 (1024 tokens, 256 KiB at head_dim 64 in bf16), large
// enough that merging the partial results is noise. Tiles with many rows are plenty as they are.
constexpr int64_t kThinRows = 16;
constexpr int64_t kPiecePages = 32;
/// Bytes of pages, and values of partial results, that are worth another thread's attention.
constexpr int64_t kGrainBytes = 32 << 10;
constexpr int64_t kGrainValues = 1 << 14;

/// Queries of one KV head at neighbouring positions.
struct Tile {
  const BatchSegment* part = nullptr;
  int64_t kv_head = 0;
  int64_t first = 0;  // position of the first query
  int64_t positions = 0;
  int64_t row() const { return part->first_row + first - part->first_position; }
};

/// What a tile attends, and what its pages' biases point into.
struct Gathered {
  cache::TilePages pages;
  std::vector<float> biases;        // [pages, group, 32], where scores depend on distance
  std::vector<float> far_biases;    // [positions, group], where keys are read from another distance
  std::vector<float> block_biases;  // [group, tokens] of the block, where scores depend on distance
};

/// A part of a run of one tile's pages, or what the tile sees of low rank.
struct Piece {
  const Tile* tile = nullptr;
  std::span<const float> far_biases;
  kernels::KvPageLayout layout;
  std::span<const kernels::PageRef> pages;
  int64_t slot = 0;                    // index of its partial result
  const Gathered* block_of = nullptr;  // its block, and no pages
};

/// Storage for partial results, one per piece.
struct PartialStore {
  std::vector<float> max;
  std::vector<float> sum;
  std::vector<float> output;
  int64_t rows = 0;  // per partial
  int64_t head_dim = 0;

  void resize(int64_t slots, int64_t partial_rows, int64_t dim) {
    rows = partial_rows;
    head_dim = dim;
    max.resize(static_cast<size_t>(slots * rows));
    sum.resize(max.size());
    output.resize(static_cast<size_t>(slots * rows * dim));
  }
  AttentionPartial at(int64_t slot, int64_t used_rows) {
    const auto from = static_cast<size_t>(slot * rows);
    const auto count = static_cast<size_t>(used_rows);
    const auto dim = static_cast<size_t>(head_dim);
    return {.max = std::span(max).subspan(from, count),
            .sum = std::span(sum).subspan(from, count),
            .output = std::span(output).subspan(from * dim, count * dim)};
  }
};

class LayerAttention {
 public:
  LayerAttention(const ModelSpec& spec, int64_t layer, const Batch& batch, Workspace& work)
      : spec_(spec),
        layer_(layer),
        work_(work),
        scale_(spec.query_scale()),
        alibi_{.slopes = spec.alibi_slopes, .bf16_products = spec.alibi_in_bf16} {
    for (const BatchSegment& part : batch.segments) add_tiles(part);
  }

  void run() {
    const auto thin_begin = std::stable_partition(
        tiles_.begin(), tiles_.end(), [&](const Tile& tile) { return !is_thin(tile); });
    run_wide({tiles_.begin(), thin_begin});
    run_thin({thin_begin, tiles_.end()});
  }

 private:
  int64_t rows_of(const Tile& tile) const { return tile.positions * spec_.group(); }
  /// Tokens that are computed one by one go the way that each of them goes alone.
  bool is_thin(const Tile& tile) const {
    const int64_t rows = tile.part->segment->one_by_one ? spec_.group() : rows_of(tile);
    return rows <= kThinRows;
  }

  /// Tiles end at multiples of 32 positions, where pages do.
  void add_tiles(const BatchSegment& part) {
    const int64_t end = part.first_position + part.rows;
    for (int64_t first = part.first_position; first < end;) {
      const int64_t next = std::min((first / kMaxTilePositions + 1) * kMaxTilePositions, end);
      for (int64_t head = 0; head < spec_.kv_heads; ++head) {
        tiles_.push_back(
            {.part = &part, .kv_head = head, .first = first, .positions = next - first});
      }
      first = next;
    }
  }

  void gather(const Tile& tile, Gathered& out) const {
    const cache::SequenceView& view = *tile.part->segment->cache;
    view.gather(layer_, tile.kv_head, tile.first, tile.positions, out.pages);
    out.far_biases.clear();
    out.block_biases.clear();
    if (alibi_.is_used()) add_biases(tile, out);
    if (!out.pages.merged.empty()) add_counts(out);
    if (!alibi_.is_used()) return;
    add_block_biases(tile, out);
    if (view.policy().far_position(0)) add_far_biases(tile, view.policy(), out);
  }

  int64_t q_head(const Tile& tile, int64_t member) const {
    return tile.kv_head * spec_.group() + member;
  }

  /// That of every tile a query may be in, so that its biases' bits are too.
  static int64_t origin_of(const Tile& tile) {
    return tile.first / kMaxTilePositions * kMaxTilePositions;
  }

  /// Of all pages.
  void add_biases(const Tile& tile, Gathered& out) const {
    const auto group = static_cast<size_t>(spec_.group());
    const int64_t origin = origin_of(tile);
    std::vector<kernels::PageRef>& pages = out.pages.pages;
    out.biases.resize(pages.size() * group * kPageTokens);
    for (size_t page = 0; page < pages.size(); ++page) {
      const std::span<const int32_t> positions =
          std::span(out.pages.positions).subspan(page * kPageTokens, kPageTokens);
      const std::span<float> biases =
          std::span(out.biases).subspan(page * group * kPageTokens, group * kPageTokens);
      for (size_t member = 0; member < group; ++member) {
        kernels::alibi_biases(alibi_,
                              q_head(tile, static_cast<int64_t>(member)),
                              origin,
                              positions,
                              biases.subspan(member * kPageTokens, kPageTokens));
      }
      pages[page].biases = biases.data();
    }
  }

  /// Entries that stand for several tokens attract what those would together.
  void add_counts(Gathered& out) const {
    const auto group = static_cast<size_t>(spec_.group());
    const bool have_biases = alibi_.is_used();
    if (!have_biases) {
      out.biases.assign(out.pages.merged.size() * group * kPageTokens, 0.0f);
    }
    float* next = out.biases.data();
    for (const cache::MergedPage& merged : out.pages.merged) {
      kernels::PageRef& page = out.pages.pages[static_cast<size_t>(merged.page)];
      float* biases =
          have_biases ? out.biases.data() + static_cast<size_t>(merged.page) * group * kPageTokens
                      : next;
      for (size_t i = 0; i < group * kPageTokens; ++i) {
        biases[i] += merged.log_counts[i % kPageTokens] / scale_;
      }
      page.biases = biases;
      next += group * kPageTokens;
    }
  }

  void add_block_biases(const Tile& tile, Gathered& out) const {
    const cache::BlockView& block = out.pages.block;
    const auto tokens = block.positions.size();
    out.block_biases.resize(tokens * static_cast<size_t>(spec_.group()));
    for (int64_t member = 0; member < spec_.group() && tokens > 0; ++member) {
      kernels::alibi_biases(
          alibi_,
          q_head(tile, member),
          origin_of(tile),
          block.positions,
          std::span(out.block_biases).subspan(static_cast<size_t>(member) * tokens, tokens));
    }
  }

  /// A query that reads far keys as if it stood nearer to them finds them nearer by as much.
  void add_far_biases(const Tile& tile, const cache::Policy& policy, Gathered& out) const {
    for (int64_t i = 0; i < tile.positions; ++i) {
      const int64_t position = tile.first + i;
      const int64_t far = *policy.far_position(position);
      for (int64_t member = 0; member < spec_.group(); ++member) {
        out.far_biases.push_back(kernels::alibi_bias(alibi_, q_head(tile, member), position, far));
      }
    }
  }

  static std::vector<Piece> cut(const Tile& tile, const Gathered& gathered, int64_t max_pages) {
    const cache::TilePages& pages = gathered.pages;
    std::vector<Piece> pieces;
    for (const cache::PageRun& run : pages.runs) {
      for (int64_t at = run.begin; at < run.end; at += max_pages) {
        const int64_t count = std::min(max_pages, run.end - at);
        pieces.push_back(
            {.tile = &tile,
             .far_biases = gathered.far_biases,
             .layout = run.layout,
             .pages = std::span(pages.pages)
                          .subspan(static_cast<size_t>(at), static_cast<size_t>(count))});
      }
    }
    if (pages.block.tokens() > 0) {
      pieces.push_back(
          {.tile = &tile, .far_biases = {}, .layout = {}, .pages = {}, .block_of = &gathered});
    }
    return pieces;
  }

  void attend_block(const Piece& piece, AttentionPartial partial) const {
    const Tile& tile = *piece.tile;
    const cache::TilePages& pages = piece.block_of->pages;
    const cache::BlockView& block = pages.block;
    const std::span<const float> queries = pages.block_is_far ? work_.q_far : work_.qkv;
    kernels::attend_low_rank({.positions = tile.positions,
                              .group = spec_.group(),
                              .head_dim = spec_.head_dim,
                              .rank = block.rank,
                              .tokens = block.tokens(),
                              .scale = scale_,
                              .soft_cap = static_cast<float>(spec_.attention_soft_cap),
                              .q = queries.subspan(first_query(tile)),
                              .q_position_stride = qkv_width(spec_),
                              .key_rows = block.key_rows,
                              .key_basis = block.key_basis,
                              .value_rows = block.value_rows,
                              .value_basis = block.value_basis,
                              .biases = piece.block_of->block_biases,
                              .first_seen = pages.block_first_seen},
                             partial);
  }

  /// Where the tile's queries begin in Workspace::qkv.
  size_t first_query(const Tile& tile) const {
    return static_cast<size_t>(tile.row() * qkv_width(spec_) +
                               tile.kv_head * spec_.group() * spec_.head_dim);
  }

  void attend_piece(const Piece& piece, AttentionPartial partial) const {
    if (piece.block_of != nullptr) {
      attend_block(piece, partial);
      return;
    }
    const Tile& tile = *piece.tile;
    const cache::SequenceView& view = *tile.part->segment->cache;
    const size_t at = first_query(tile);
    const bool shifted = view.policy().far_position(0).has_value();
    kernels::attend({.layout = piece.layout,
                     .positions = tile.positions,
                     .group = spec_.group(),
                     .scale = scale_,
                     .soft_cap = static_cast<float>(spec_.attention_soft_cap),
                     .q = std::span(work_.qkv).subspan(at),
                     .q_far = shifted ? std::span<const float>(work_.q_far).subspan(at)
                                      : std::span<const float>{},
                     .far_biases = piece.far_biases,
                     .pages = piece.pages,
                     .q_position_stride = qkv_width(spec_)},
                    partial);
  }

  void merge(const Tile& tile, std::span<const AttentionPartial> partials) const {
    const int64_t width = spec_.q_heads * spec_.head_dim;
    const auto at =
        static_cast<size_t>(tile.row() * width + tile.kv_head * spec_.group() * spec_.head_dim);
    kernels::merge_partials(partials,
                            tile.positions,
                            spec_.group(),
                            spec_.head_dim,
                            std::span(work_.attended).subspan(at),
                            width);
  }

  /// Many query rows: a task is a tile.
  void run_wide(std::span<const Tile> tiles) const {
    parallel_for(std::ssize(tiles), 1, [&](int64_t i) { run_tile(tiles[static_cast<size_t>(i)]); });
  }

  /// A task with everything it needs of its own.
  void run_tile(const Tile& tile) const {
    thread_local Gathered gathered;
    thread_local PartialStore store;
    thread_local std::vector<AttentionPartial> partials;
    gather(tile, gathered);
    const std::vector<Piece> pieces =
        cut(tile, gathered, std::max<int64_t>(std::ssize(gathered.pages.pages), 1));
    const int64_t rows = rows_of(tile);
    store.resize(std::ssize(pieces), rows, spec_.head_dim);
    partials.clear();
    for (const Piece& piece : pieces) {
      partials.push_back(store.at(std::ssize(partials), rows));
      attend_piece(piece, partials.back());
    }
    merge(tile, partials);
  }

  /// Few query rows: a task is a piece of a tile's pages; partial results are merged after.
  void run_thin(std::span<const Tile> tiles) const {
    if (tiles.empty()) return;
    static thread_local std::vector<Gathered> gathered;
    static thread_local PartialStore store;
    if (gathered.size() < tiles.size()) gathered.resize(tiles.size());
    std::vector<Piece> pieces;
    std::vector<int64_t> first_piece{0};
    int64_t most_rows = 0;
    for (size_t i = 0; i < tiles.size(); ++i) {
      const Tile& tile = tiles[i];
      most_rows = std::max(most_rows, rows_of(tile));
      gather(tile, gathered[i]);
      for (Piece piece : cut(tile, gathered[i], kPiecePages)) {
        piece.slot = std::ssize(pieces);
        pieces.push_back(piece);
      }
      first_piece.push_back(std::ssize(pieces));
    }
    store.resize(std::ssize(pieces), most_rows, spec_.head_dim);
    PartialStore& shared_store = store;  // thread_local names the caller's copy for every thread
    std::vector<AttentionPartial> partials;
    for (const Piece& piece : pieces) {
      partials.push_back(shared_store.at(piece.slot, rows_of(*piece.tile)));
    }
    parallel_for(std::ssize(pieces), piece_grain(pieces), [&](int64_t i) {
      attend_piece(pieces[static_cast<size_t>(i)], partials[static_cast<size_t>(i)]);
    });
    const int64_t tile_values =
        ceil_div(std::ssize(pieces), std::ssize(tiles)) * spec_.group() * spec_.head_dim;
    parallel_for(std::ssize(tiles), ceil_div(kGrainValues, tile_values), [&](int64_t i) {
      const auto first = static_cast<size_t>(first_piece[static_cast<size_t>(i)]);
      const auto end = static_cast<size_t>(first_piece[static_cast<size_t>(i) + 1]);
      merge(tiles[static_cast<size_t>(i)], std::span(partials).subspan(first, end - first));
    });
  }

  /// Pieces that hold kGrainBytes, were all of the same length.
  int64_t piece_grain(std::span<const Piece> pieces) const {
    int64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += std::ssize(piece.pages) * piece.layout.bytes();
    return ceil_div(kGrainBytes * std::ssize(pieces), std::max<int64_t>(bytes, 1));
  }

  const ModelSpec& spec_;
  int64_t layer_;
  Workspace& work_;
  float scale_;
  kernels::Alibi alibi_;
  std::vector<Tile> tiles_;
};

}  // namespace

void run_attention(const ModelSpec& spec, int64_t layer, const Batch& batch, Workspace& work) {
  LayerAttention(spec, layer, batch, work).run();
}

}  // namespace dms::model
