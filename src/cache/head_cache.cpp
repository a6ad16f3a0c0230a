#include "cache/head_cache.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "cache/ordered_store.h"
#include "cache/page_bits.h"
#include "cache/slot_store.h"

namespace dms::cache {

using kernels::kPageTokens;

PageNeed& PageNeed::operator+=(const PageNeed& other) {
  window += other.window;
  survivors += other.survivors;
  given_back += other.given_back;
  return *this;
}

namespace {

std::unique_ptr<SurvivorStore> make_store(const HeadShape& shape) {
  if (shape.plans) return std::make_unique<SlotStore>(shape.survivor_layout, *shape.survivor_pool);
  return std::make_unique<OrderedStore>(shape.survivor_layout, *shape.survivor_pool);
}

}  // namespace

HeadCache::HeadCache(const HeadShape& shape)
    : HeadCache(ExactWindow(shape.window_layout, *shape.window_pool),
                make_store(shape),
                DigestStore(shape.window_layout, *shape.window_pool),
                shape.digests) {}

HeadCache HeadCache::fork() const {
  HeadCache copy(window_.fork(), survivors_->fork(), digest_.fork(), digests_);
  copy.fates_ = fates_;
  copy.times_ = times_;
  copy.sealed_end_ = sealed_end_;
  return copy;
}

void HeadCache::seal_until(int64_t end) {
  for (int64_t position = sealed_end_; position < end; ++position) {
    if (fates_.is_evicted(position)) continue;
    survivors_->append(position, in_window(position));
  }
  sealed_end_ = std::max(sealed_end_, end);
}

StoredToken HeadCache::in_window(int64_t position) const {
  return {.layout = window_.layout(),
          .page = window_.page(position / kPageTokens),
          .slot = position % kPageTokens};
}

void HeadCache::evict(std::span<const int32_t> positions, int64_t time) {
  for (const int32_t position : positions) times_.set(position, time);
  forget(positions);
}

void HeadCache::forget(std::span<const int32_t> positions) {
  for (const int32_t position : positions) fates_.set(position, true);
  survivors_->drop_evicted(sealed());
}

void HeadCache::visit(
    int64_t tokens,
    const std::function<void(int64_t position, const StoredToken& token)>& visitor) const {
  survivors_->visit(visitor);
  for (int64_t position = sealed_end_; position < tokens; ++position) {
    if (!fates_.is_evicted(position)) visitor(position, in_window(position));
  }
}

PageNeed HeadCache::page_need(int64_t position, int64_t count, int64_t end) const {
  // Those whose fate is still open count as kept.
  const int64_t sealed = fates_.kept_between(std::min(sealed_end_, end), end);
  return {.window = window_.page_need(position, count),
          .survivors = survivors_->page_need(sealed),
          .given_back = window_.pages_before(position, count, end)};
}

void HeadCache::gather(const QueryTile& tile, const Visibility& layer, TilePages& out) const {
  out.clear();
  Visibility visibility = layer;
  visibility.near_begin = std::max(visibility.near_begin, digest_.shifted_end());
  // Masks are pointed into while the vector grows: room for every page that can carry one.
  const int64_t masked_pages = 2 * window_.page_count() + digest_.page_count() +
                               survivors_->most_masked_pages(visibility) + 1;
  out.masks.reserve(static_cast<size_t>(masked_pages * tile.positions));
  // Below the band everything kept is among the survivors and seen by the whole tile.
  const int64_t band = std::clamp(std::max<int64_t>(tile.first - visibility.window, 0),
                                  std::min(window_.begin(), sealed_end_),
                                  sealed_end_);
  survivors_->gather(sealed(), band, tile, visibility, out);
  out.close_run(survivors_->layout());
  digest_.gather(tile, visibility, out);
  gather_band(band, tile, visibility, out);
  out.close_run(window_.layout());
}

void HeadCache::gather_band(int64_t begin,
                            const QueryTile& tile,
                            const Visibility& visibility,
                            TilePages& out) const {
  const int64_t end = tile.first + tile.positions;
  const int64_t sliding = visibility.sliding_window > 0 ? visibility.sliding_window : end;
  const auto add_page = [&](const kernels::PageRef& ref, int64_t base) {
    out.pages.push_back(ref);
    if (!visibility.positions) return;
    std::array<int32_t, kPageTokens> positions;
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(base));
    out.add_positions(positions);
  };
  for (int64_t page = begin / kPageTokens; page * kPageTokens < end; ++page) {
    const int64_t base = page * kPageTokens;
    const uint32_t kept = ~fates_.evicted_word(page);
    const std::byte* data = window_.page(page).data();
    const auto seen = [&](int64_t t) {
      return low_bits(t + 1 - base) & bits_from(begin - base) & bits_from(t - sliding + 1 - base);
    };
    const auto recent = [&](int64_t t) { return bits_from(t - visibility.window - base); };
    const uint32_t near_kept = kept & bits_from(visibility.near_begin - base);
    const uint32_t far_kept = kept & low_bits(visibility.far_end - base);
    const kernels::PageRef near{.data = data, .masks = out.masks.data() + out.masks.size()};
    uint32_t any_far = 0;
    for (int64_t t = tile.first; t < end; ++t) {
      out.masks.push_back(seen(t) & (recent(t) | near_kept));
      any_far |= seen(t) & far_kept & ~recent(t);
    }
    add_page(near, base);
    if (any_far == 0) continue;
    add_page({.data = data, .masks = out.masks.data() + out.masks.size(), .far = true}, base);
    for (int64_t t = tile.first; t < end; ++t) out.masks.push_back(seen(t) & far_kept & ~recent(t));
  }
}

bool HeadCache::can_truncate(int64_t tokens, int64_t exact_tokens, int64_t sliding_window) const {
  if (!survivors_->reaches_back_to(sealed(), tokens, sliding_window)) return false;
  const int64_t needed = std::max<int64_t>(tokens - exact_tokens, 0);
  if (needed >= sealed_end_) return true;
  return one_layout() && fates_.kept_between(needed, sealed_end_) == sealed_end_ - needed;
}

void HeadCache::truncate(int64_t tokens) {
  if (tokens < sealed_end_) {
    survivors_->truncate(sealed(), tokens);
    sealed_end_ = tokens;
    window_.clear();
  }
  window_.truncate(tokens);
}

void HeadCache::restart(int64_t tokens) {
  window_.clear();
  survivors_->clear();
  digest_.clear();
  sealed_end_ = 0;
  times_.forget_after(tokens);
  if (survivors_->can_drop()) fates_.clear_from(0);
}

void HeadCache::write(ByteWriter& out) const {
  fates_.write(out);
  out.value(sealed_end_);
  window_.write(out);
  survivors_->write(out);
  if (digests_) {
    digest_.write(out);
  } else if (survivors_->can_drop()) {
    times_.write(out);
  }
}

void HeadCache::read(ByteReader& in,
                     int64_t tokens,
                     int64_t decided_end,
                     std::span<const int64_t> plans) {
  fates_ = FateLog::read(in, decided_end);
  sealed_end_ = in.number(0, tokens, "the end of what is sealed");
  window_.read(in, tokens);
  const bool has_all =
      window_.page_count() > 0 ? window_.begin() <= sealed_end_ : sealed_end_ == tokens;
  in.require(has_all, "tokens are neither in the window nor sealed");
  survivors_->read(in, sealed());
  if (digests_) digest_.read(in, tokens);
  if (digests_ || !survivors_->can_drop()) return;
  times_.read(in, plans);
  for (int64_t position = 0; position < tokens; ++position) {
    in.require(fates_.is_evicted(position) == (times_.at(position) > 0),
               "decisions that nobody planned");
  }
}

HeadCache::HeldRange HeadCache::held_range(int64_t tokens, const Visibility& visibility) {
  const int64_t recent = std::max<int64_t>(tokens - 1 - visibility.window, 0);
  const int64_t seen =
      visibility.sliding_window > 0 ? std::max<int64_t>(tokens - visibility.sliding_window, 0) : 0;
  return {.seen = seen, .exact = std::max(recent, seen)};
}

int64_t HeadCache::held_tokens(int64_t tokens, const Visibility& visibility) const {
  const HeldRange range = held_range(tokens, visibility);
  return tokens - range.exact + fates_.kept_between(range.seen, range.exact) +
         digest_.held_entries();
}

void HeadCache::count_held(const Visibility& visibility, std::span<int32_t> counts) const {
  const HeldRange range = held_range(std::ssize(counts), visibility);
  for (int64_t page = range.seen / kPageTokens; page * kPageTokens < range.exact; ++page) {
    const int64_t base = page * kPageTokens;
    uint32_t kept =
        ~fates_.evicted_word(page) & bits_from(range.seen - base) & low_bits(range.exact - base);
    for (; kept != 0; kept &= kept - 1)
      ++counts[static_cast<size_t>(base + std::countr_zero(kept))];
  }
  for (int32_t& count : counts.subspan(static_cast<size_t>(range.exact))) ++count;
}

int64_t HeadCache::table_bytes() const {
  return window_.table_bytes() + survivors_->table_bytes() + digest_.table_bytes() +
         fates_.bytes() + times_.bytes() + static_cast<int64_t>(sizeof(*this) + sizeof(SlotStore));
}

}  // namespace dms::cache
