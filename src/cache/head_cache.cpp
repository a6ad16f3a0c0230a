#include "cache/head_cache.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace dms::cache {
namespace {

using kernels::kPageTokens;

constexpr uint32_t kAll = ~uint32_t{0};

/// Bits [0, count) of a word; count may lie outside 0..32.
uint32_t low_bits(int64_t count) {
  if (count <= 0) return 0;
  return count >= kPageTokens ? kAll : (uint32_t{1} << count) - 1;
}

/// Bits [begin, 32) of a word.
uint32_t bits_from(int64_t begin) { return ~low_bits(begin); }

/// Makes `page` ours alone before a write.
void unshare(Page& page, PagePool& pool) {
  if (!page.is_shared()) return;
  Page copy = pool.allocate();
  std::ranges::copy(std::as_const(page).bytes(), copy.bytes().begin());
  page = std::move(copy);
}

}  // namespace

PageNeed& PageNeed::operator+=(const PageNeed& other) {
  window += other.window;
  survivors += other.survivors;
  given_back += other.given_back;
  return *this;
}

HeadCache HeadCache::fork(const HeadShape& shape) const {
  HeadCache copy(shape);
  for (const Page& page : window_) copy.window_.push_back(page.share());
  for (const Page& page : survivors_) copy.survivors_.push_back(page.share());
  copy.window_first_page_ = window_first_page_;
  copy.window_begin_ = window_begin_;
  copy.survivor_count_ = survivor_count_;
  copy.expired_pages_ = expired_pages_;
  copy.sealed_end_ = sealed_end_;
  copy.evicted_ = evicted_;
  return copy;
}

void HeadCache::store(int64_t position, std::span<const float> key, std::span<const float> value) {
  const int64_t page = position / kPageTokens;
  if (window_.empty()) {
    window_first_page_ = page;
    window_begin_ = position;
  }
  if (page == window_first_page_ + std::ssize(window_)) {
    window_.push_back(shape_->window_pool->allocate());
    std::ranges::fill(window_.back().bytes(), std::byte{0});  // masked slots must be finite
  }
  Page& target = window_[static_cast<size_t>(page - window_first_page_)];
  unshare(target, *shape_->window_pool);
  kernels::store_token(shape_->window_layout, target.bytes(), position % kPageTokens, key, value);
}

void HeadCache::set_fate(int64_t position, bool evict) {
  const auto word = static_cast<size_t>(position / kPageTokens);
  if (word >= evicted_.size()) evicted_.resize(word + 1, 0);
  const uint32_t bit = uint32_t{1} << (position % kPageTokens);
  if (evict) {
    evicted_[word] |= bit;
  } else {
    evicted_[word] &= ~bit;
  }
}

uint32_t HeadCache::evict_word(int64_t page) const {
  return page < std::ssize(evicted_) ? evicted_[static_cast<size_t>(page)] : 0;
}

bool HeadCache::is_evicted(int64_t position) const {
  return (evict_word(position / kPageTokens) >> (position % kPageTokens) & 1) != 0;
}

int64_t HeadCache::kept_between(int64_t begin, int64_t end) const {
  int64_t kept = 0;
  for (int64_t page = begin / kPageTokens; page * kPageTokens < end; ++page) {
    const int64_t base = page * kPageTokens;
    kept += std::popcount(~evict_word(page) & bits_from(begin - base) & low_bits(end - base));
  }
  return kept;
}

/// Survivors, expired ones included, at positions below `position`.
int64_t HeadCache::kept_below(int64_t position) const {
  return survivor_count_ - kept_between(std::min(position, sealed_end_), sealed_end_);
}

void HeadCache::append_survivor(int64_t position) {
  const int64_t slot = survivor_count_ % kPageTokens;
  if (slot == 0) {
    survivors_.push_back(shape_->survivor_pool->allocate());
  } else {
    unshare(survivors_.back(), *shape_->survivor_pool);
  }
  const Page& source = window_[static_cast<size_t>(position / kPageTokens - window_first_page_)];
  const int64_t source_slot = position % kPageTokens;
  const std::span<std::byte> target = survivors_.back().bytes();
  if (one_type()) {
    kernels::copy_token(shape_->survivor_layout, source.bytes(), source_slot, target, slot);
  } else {
    thread_local std::vector<float> key;
    thread_local std::vector<float> value;
    key.resize(static_cast<size_t>(shape_->window_layout.head_dim));
    value.resize(key.size());
    kernels::load_token(shape_->window_layout, source.bytes(), source_slot, key, value);
    kernels::store_token(shape_->survivor_layout, target, slot, key, value);
  }
  ++survivor_count_;
}

void HeadCache::seal_until(int64_t end) {
  for (int64_t position = sealed_end_; position < end; ++position) {
    if (!is_evicted(position)) append_survivor(position);
  }
  sealed_end_ = std::max(sealed_end_, end);
}

void HeadCache::drop_sealed() {
  const int64_t pages =
      std::clamp<int64_t>(sealed_end_ / kPageTokens - window_first_page_, 0, std::ssize(window_));
  window_.erase(window_.begin(), window_.begin() + pages);
  window_first_page_ += pages;
  window_begin_ = std::max(window_begin_, window_first_page_ * kPageTokens);
}

PageNeed HeadCache::page_need(int64_t position, int64_t count, int64_t end) const {
  const auto held = std::ssize(window_);
  const int64_t written_page = position / kPageTokens;
  const int64_t first_page = window_.empty() ? written_page : window_first_page_;
  const int64_t pages = ceil_div(position + count, kPageTokens) - first_page;
  const auto is_shared = [&](int64_t page) {
    return page < held && window_[static_cast<size_t>(page)].is_shared();
  };
  PageNeed need{.window = std::max<int64_t>(pages - held, 0)};
  need.window += is_shared(written_page - first_page) ? 1 : 0;  // it is copied before it is written
  for (int64_t page = 0; page < std::min(end / kPageTokens - first_page, pages); ++page) {
    need.given_back += is_shared(page) ? 0 : 1;
  }
  const int64_t sealed = kept_between(std::min(sealed_end_, end), end);  // undecided: kept
  const int64_t slot = survivor_count_ % kPageTokens;
  if (sealed > 0) {
    need.survivors = ceil_div(slot + sealed, kPageTokens);
    if (slot > 0 && !survivors_.back().is_shared()) need.survivors -= 1;
  }
  return need;
}

void HeadCache::expire(int64_t next_position, int64_t sliding_window) {
  const int64_t first_visible = next_position - sliding_window + 1;
  if (first_visible <= 0) return;
  const int64_t pages = std::clamp<int64_t>(
      kept_below(first_visible) / kPageTokens - expired_pages_, 0, std::ssize(survivors_));
  survivors_.erase(survivors_.begin(), survivors_.begin() + pages);
  expired_pages_ += pages;
}

void HeadCache::gather(int64_t first,
                       int64_t positions,
                       const Visibility& visibility,
                       TilePages& out) const {
  out.pages.clear();
  out.masks.clear();
  // Masks are pointed into while the vector grows: room for every page that can carry one.
  const int64_t sliding_pages = visibility.sliding_window > 0 ? std::ssize(survivors_) : int64_t{1};
  out.masks.reserve(static_cast<size_t>((2 * std::ssize(window_) + sliding_pages + 1) * positions));
  // Below the band everything kept is among the survivors and seen by the whole tile.
  const int64_t band = std::clamp(std::max<int64_t>(first - visibility.window, 0),
                                  std::min(window_begin_, sealed_end_),
                                  sealed_end_);
  gather_survivors(kept_below(band), first, positions, visibility, out);
  out.band_begin = std::ssize(out.pages);
  gather_band(band, first, positions, visibility, out);
}

void HeadCache::gather_survivors(int64_t count,
                                 int64_t first,
                                 int64_t positions,
                                 const Visibility& visibility,
                                 TilePages& out) const {
  // Entries below hidden[t] lie outside query t's sliding window.
  std::array<int64_t, kernels::kMaxTilePositions> hidden{};
  if (visibility.sliding_window > 0) {
    for (int64_t t = 0; t < positions; ++t) {
      const int64_t visible = std::max<int64_t>(first + t - visibility.sliding_window + 1, 0);
      hidden[static_cast<size_t>(t)] = visible >= sealed_end_
                                           ? survivor_count_
                                           : survivor_count_ - kept_between(visible, sealed_end_);
    }
  }
  const int64_t first_page = std::max(hidden[0] / kPageTokens, expired_pages_);
  const int64_t last_hidden = hidden[static_cast<size_t>(positions - 1)];
  for (int64_t page = first_page; page * kPageTokens < count; ++page) {
    const int64_t base = page * kPageTokens;
    kernels::PageRef ref{
        .data = survivors_[static_cast<size_t>(page - expired_pages_)].bytes().data(),
        .far = visibility.far_frame};
    if (base + kPageTokens > count || base < last_hidden) {
      ref.masks = out.masks.data() + out.masks.size();
      for (int64_t t = 0; t < positions; ++t) {
        out.masks.push_back(low_bits(count - base) &
                            bits_from(hidden[static_cast<size_t>(t)] - base));
      }
    }
    out.pages.push_back(ref);
  }
}

void HeadCache::gather_band(int64_t begin,
                            int64_t first,
                            int64_t positions,
                            const Visibility& visibility,
                            TilePages& out) const {
  const int64_t sliding =
      visibility.sliding_window > 0 ? visibility.sliding_window : first + positions;
  for (int64_t page = begin / kPageTokens; page * kPageTokens < first + positions; ++page) {
    const int64_t base = page * kPageTokens;
    const uint32_t kept = ~evict_word(page);
    const std::byte* data = window_[static_cast<size_t>(page - window_first_page_)].bytes().data();
    const auto seen = [&](int64_t t) {
      return low_bits(t + 1 - base) & bits_from(begin - base) & bits_from(t - sliding + 1 - base);
    };
    const auto recent = [&](int64_t t) { return bits_from(t - visibility.window - base); };
    kernels::PageRef near{.data = data, .masks = out.masks.data() + out.masks.size()};
    uint32_t any_far = 0;
    for (int64_t t = first; t < first + positions; ++t) {
      out.masks.push_back(seen(t) & (visibility.far_frame ? recent(t) : recent(t) | kept));
      any_far |= seen(t) & kept & ~recent(t);
    }
    out.pages.push_back(near);
    if (!visibility.far_frame || any_far == 0) continue;
    kernels::PageRef far{.data = data, .masks = out.masks.data() + out.masks.size(), .far = true};
    for (int64_t t = first; t < first + positions; ++t) {
      out.masks.push_back(seen(t) & kept & ~recent(t));
    }
    out.pages.push_back(far);
  }
}

bool HeadCache::can_truncate(int64_t tokens, int64_t exact_tokens, int64_t sliding_window) const {
  const int64_t first_visible = std::max<int64_t>(tokens - sliding_window + 1, 0);
  if (expired_pages_ * kPageTokens > kept_below(first_visible)) return false;
  const int64_t needed = std::max<int64_t>(tokens - exact_tokens, 0);
  if (needed >= sealed_end_) return true;
  return one_type() && kept_between(needed, sealed_end_) == sealed_end_ - needed;
}

void HeadCache::truncate(int64_t tokens) {
  if (tokens < sealed_end_) {
    survivor_count_ -= kept_between(tokens, sealed_end_);
    sealed_end_ = tokens;
    window_.clear();
  }
  while ((expired_pages_ + std::ssize(survivors_) - 1) * kPageTokens >= survivor_count_ &&
         !survivors_.empty()) {
    survivors_.pop_back();
  }
  while (!window_.empty() &&
         (window_first_page_ + std::ssize(window_) - 1) * kPageTokens >= tokens) {
    window_.pop_back();
  }
}

void HeadCache::clear_entries() {
  window_.clear();
  survivors_.clear();
  survivor_count_ = 0;
  expired_pages_ = 0;
  sealed_end_ = 0;
}

void HeadCache::clear_fates(int64_t position) {
  const auto words = static_cast<size_t>((position + kPageTokens - 1) / kPageTokens);
  if (evicted_.size() > words) evicted_.resize(words);
  if (!evicted_.empty() && evicted_.size() == words && position % kPageTokens != 0) {
    evicted_.back() &= low_bits(position % kPageTokens);
  }
}

int64_t HeadCache::held_tokens(int64_t tokens, const Visibility& visibility) const {
  const int64_t first_recent = std::max<int64_t>(tokens - 1 - visibility.window, 0);
  const int64_t first_seen =
      visibility.sliding_window > 0 ? std::max<int64_t>(tokens - visibility.sliding_window, 0) : 0;
  const int64_t first_exact = std::max(first_recent, first_seen);
  return tokens - first_exact + kept_between(std::min(first_seen, first_exact), first_exact);
}

int64_t HeadCache::table_bytes() const {
  return static_cast<int64_t>((window_.size() + survivors_.size()) * sizeof(Page) +
                              evicted_.capacity() * sizeof(uint32_t) + sizeof(*this));
}

}  // namespace dms::cache
