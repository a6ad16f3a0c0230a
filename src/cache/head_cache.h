#pragma once
// The entries of one KV head of one sequence in one layer, in two parts:
//   window     pages aligned to positions (page p holds tokens 32p .. 32p + 31), exact, with every
//              token from sealed_end() on;
//   survivors  append-only pages with the kept tokens below sealed_end(), in order of position.
// A token moves from the first to the second, or is forgotten, exactly once: when it is sealed.
// One bit a token remembers its fate for the life of the sequence, so that recomputation replays
// the same decisions and positions of survivors need no storage. Invariant: survivors + expired =
// kept tokens below sealed_end(). Engine thread only; gather() is const and may run on several
// threads.

#include <cstdint>
#include <span>
#include <vector>

#include "cache/page_pool.h"
#include "cache/view.h"

namespace dms::cache {

/// What all heads of a sequence have in common.
struct HeadShape {
  kernels::KvPageLayout window_layout;
  kernels::KvPageLayout survivor_layout;
  PagePool* window_pool = nullptr;
  PagePool* survivor_pool = nullptr;
};

/// The mask parameters of a layer: semantics.md section 1.
struct Visibility {
  int64_t window = 0;          // W
  int64_t sliding_window = 0;  // the layer's own; 0: none
  bool far_frame = false;      // keys beyond the window are read with the far query
};

/// Pages that a chunk takes in one head.
struct PageNeed {
  int64_t window = 0;      // new ones and copies of shared ones
  int64_t survivors = 0;   // likewise, whatever is evicted
  int64_t given_back = 0;  // of the window's, by drop_sealed()

  PageNeed& operator+=(const PageNeed& other);
};

class HeadCache {
 public:
  explicit HeadCache(const HeadShape& shape) : shape_(&shape) {}
  HeadCache(HeadCache&&) = default;
  HeadCache& operator=(HeadCache&&) = default;

  /// Shares every page with the copy; whoever writes first copies.
  HeadCache fork(const HeadShape& shape) const;

  /// Writes token `position` into the window; positions come in order, without gaps.
  void store(int64_t position, std::span<const float> key, std::span<const float> value);

  /// Settles a token's fate. Tokens without a call are kept.
  void set_fate(int64_t position, bool evict);
  bool is_evicted(int64_t position) const;

  /// Moves kept tokens in [sealed_end(), end) to the survivors and forgets the others. Their window
  /// pages stay until drop_sealed().
  void seal_until(int64_t end);
  void drop_sealed();

  /// What it takes to store `count` tokens from `position` on and to seal_until(`end`).
  PageNeed page_need(int64_t position, int64_t count, int64_t end) const;

  /// Frees survivors that no query at `next_position` or later sees through the sliding window.
  void expire(int64_t next_position, int64_t sliding_window);

  void gather(int64_t first, int64_t positions, const Visibility& visibility, TilePages& out) const;

  /// Whether the state after `tokens` tokens can be had by forgetting alone: nothing is gone that
  /// the next query would see through the sliding window or among the last `exact_tokens`, which
  /// where survivors have another type than the window must all be in the window.
  bool can_truncate(int64_t tokens, int64_t exact_tokens, int64_t sliding_window) const;
  void truncate(int64_t tokens);
  /// Forgets all entries but keeps the fates, for recomputation.
  void clear_entries();
  /// Forgets fates from `position` on.
  void clear_fates(int64_t position);

  /// Entries a query at tokens - 1 could see; rollback slack not counted.
  int64_t held_tokens(int64_t tokens, const Visibility& visibility) const;
  int64_t window_pages() const { return std::ssize(window_); }
  int64_t survivor_pages() const { return std::ssize(survivors_); }
  int64_t table_bytes() const;
  int64_t sealed_end() const { return sealed_end_; }

 private:
  int64_t kept_below(int64_t position) const;
  int64_t kept_between(int64_t begin, int64_t end) const;
  bool one_type() const { return shape_->window_layout.type == shape_->survivor_layout.type; }
  void append_survivor(int64_t position);
  void gather_survivors(int64_t count,
                        int64_t first,
                        int64_t positions,
                        const Visibility& visibility,
                        TilePages& out) const;
  void gather_band(int64_t begin,
                   int64_t first,
                   int64_t positions,
                   const Visibility& visibility,
                   TilePages& out) const;
  uint32_t evict_word(int64_t page) const;

  const HeadShape* shape_;
  std::vector<Page> window_;
  int64_t window_first_page_ = 0;  // position / 32 of window_.front()
  int64_t window_begin_ = 0;       // first position the window's pages really hold
  std::vector<Page> survivors_;
  int64_t survivor_count_ = 0;  // entries ever appended and not truncated, expired ones included
  int64_t expired_pages_ = 0;   // survivor pages freed from the front
  int64_t sealed_end_ = 0;
  std::vector<uint32_t> evicted_;  // bit j of word p: token 32p + j is evicted
};

}  // namespace dms::cache
