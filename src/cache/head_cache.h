#pragma once
// The entries of one KV head of one sequence in one layer, in two parts: the exact window with
// every token from sealed_end() on, and the survivors among those before. A token moves from the
// first to the second, or is forgotten, exactly once: when it is sealed. Where the policy plans,
// survivors may go later too. Engine thread only; gather() and visit() are const and may run on
// several threads.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "cache/digest_store.h"
#include "cache/eviction_times.h"
#include "cache/exact_window.h"
#include "cache/fate_log.h"
#include "cache/survivor_store.h"

namespace dms::cache {

/// What all heads of a sequence have in common.
struct HeadShape {
  kernels::KvPageLayout window_layout;
  kernels::KvPageLayout survivor_layout;
  PagePool* window_pool = nullptr;
  PagePool* survivor_pool = nullptr;
  bool plans = false;    // survivors may be evicted after they were sealed
  bool digests = false;  // and leave a digest
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
  explicit HeadCache(const HeadShape& shape);
  HeadCache(HeadCache&&) = default;
  HeadCache& operator=(HeadCache&&) = default;

  /// Shares every page with the copy; whoever writes first copies.
  HeadCache fork() const;

  /// Writes token `position` into the window; positions come in order, without gaps.
  void store(int64_t position, std::span<const float> key, std::span<const float> value) {
    window_.store(position, key, value);
  }

  /// What was decided about each token; those without a decision are kept.
  FateLog& fates() { return fates_; }
  const FateLog& fates() const { return fates_; }

  /// What was decided about another's, and planned.
  void take_decisions(const HeadCache& other) {
    fates_ = other.fates_;
    times_ = other.times_;
  }

  /// Moves kept tokens in [sealed_end(), end) to the survivors and forgets the others. Their window
  /// pages stay until drop_sealed().
  void seal_until(int64_t end);
  void drop_sealed() { window_.drop_before(sealed_end_); }

  /// Forgets the tokens at `positions`, of those that can_drop() shapes hold, after `time` tokens.
  void evict(std::span<const int32_t> positions, int64_t time);
  /// Evicts again what evict() did after `time` tokens.
  void evict_again(int64_t time) { evict(times_.evicted_at(time), time); }
  /// Forgets them without a record of when.
  void forget(std::span<const int32_t> positions);
  /// Of the tokens that are gone.
  const DigestStore& digest() const { return digest_; }
  /// Replaces it. Throws RunError at the memory limit.
  void hold(const Digest& digest) { digest_.hold(digest); }
  /// Its pages in the two pools of its shape, for PagePool::pack().
  std::span<Page> window_page_list() { return window_.pages(); }
  std::span<Page> survivor_page_list() { return survivors_->pages(); }
  /// What it holds of the tokens below `tokens`, in any order.
  void visit(int64_t tokens,
             const std::function<void(int64_t position, const StoredToken& token)>& visitor) const;

  /// What it takes to store `count` tokens from `position` on and to seal_until(`end`).
  PageNeed page_need(int64_t position, int64_t count, int64_t end) const;
  /// Pages that evict() may have to copy.
  int64_t shared_survivor_pages() const { return survivors_->shared_pages(); }

  /// Frees survivors that no query at `next_position` or later sees through the sliding window.
  void expire(int64_t next_position, int64_t sliding_window) {
    survivors_->expire(sealed(), next_position, sliding_window);
  }

  void gather(const QueryTile& tile, const Visibility& layer, TilePages& out) const;

  /// Whether the state after `tokens` tokens can be had by forgetting alone: nothing is gone that
  /// the next query would see through the sliding window or among the last `exact_tokens`, which
  /// where survivors have another type than the window must all be in the window.
  bool can_truncate(int64_t tokens, int64_t exact_tokens, int64_t sliding_window) const;
  void truncate(int64_t tokens);
  /// Forgets all entries but keeps the fates, for recomputation; of those that were planned, when
  /// they were, but for what was planned after `tokens` tokens.
  void restart(int64_t tokens);

  void write(ByteWriter& out) const;
  /// What write() wrote of a sequence of `tokens` tokens, of which `decided_end` have a decision,
  /// and where plans were carried out after each of `plans`. Throws InputError where it can't be
  /// that, RunError at the memory limit.
  void read(ByteReader& in, int64_t tokens, int64_t decided_end, std::span<const int64_t> plans);

  /// Entries a query at tokens - 1 could see; rollback slack not counted.
  int64_t held_tokens(int64_t tokens, const Visibility& visibility) const;
  /// Adds 1 for each of them to its token's count; counts: [tokens].
  void count_held(const Visibility& visibility, std::span<int32_t> counts) const;
  /// Of the window, and of the digest, whose pages are alike.
  int64_t window_pages() const { return window_.page_count() + digest_.page_count(); }
  int64_t survivor_pages() const { return survivors_->page_count(); }
  int64_t table_bytes() const;
  int64_t sealed_end() const { return sealed_end_; }

 private:
  HeadCache(ExactWindow window,
            std::unique_ptr<SurvivorStore> survivors,
            DigestStore digest,
            bool digests)
      : window_(std::move(window)),
        survivors_(std::move(survivors)),
        digest_(std::move(digest)),
        digests_(digests) {}
  /// What held_tokens() counts: kept ones from `seen` on, and every one from `exact` on.
  struct HeldRange {
    int64_t seen = 0;
    int64_t exact = 0;
  };
  static HeldRange held_range(int64_t tokens, const Visibility& visibility);
  StoredToken in_window(int64_t position) const;
  Sealed sealed() const { return {.fates = fates_, .end = sealed_end_}; }
  bool one_layout() const { return window_.layout() == survivors_->layout(); }
  void gather_band(int64_t begin,
                   const QueryTile& tile,
                   const Visibility& visibility,
                   TilePages& out) const;

  ExactWindow window_;
  std::unique_ptr<SurvivorStore> survivors_;
  DigestStore digest_;
  bool digests_;
  FateLog fates_;
  EvictionTimes times_;
  int64_t sealed_end_ = 0;
};

}  // namespace dms::cache
