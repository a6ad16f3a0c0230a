#include "cache/head_cache.h"

#include <algorithm>

#include "cache/page_bits.h"

namespace dms::cache {

using kernels::kPageTokens;

PageNeed& PageNeed::operator+=(const PageNeed& other) {
  window += other.window;
  survivors += other.survivors;
  given_back += other.given_back;
  return *this;
}

HeadCache HeadCache::fork() const {
  return {window_.fork(), survivors_.fork(), fates_, sealed_end_};
}

void HeadCache::seal_until(int64_t end) {
  for (int64_t position = sealed_end_; position < end; ++position) {
    if (fates_.is_evicted(position)) continue;
    survivors_.append(
        window_.layout(), window_.page(position / kPageTokens), position % kPageTokens);
  }
  sealed_end_ = std::max(sealed_end_, end);
}

PageNeed HeadCache::page_need(int64_t position, int64_t count, int64_t end) const {
  // Those whose fate is still open count as kept.
  const int64_t sealed = fates_.kept_between(std::min(sealed_end_, end), end);
  return {.window = window_.page_need(position, count),
          .survivors = survivors_.page_need(sealed),
          .given_back = window_.pages_before(position, count, end)};
}

void HeadCache::gather(const QueryTile& tile, const Visibility& visibility, TilePages& out) const {
  out.pages.clear();
  out.masks.clear();
  // Masks are pointed into while the vector grows: room for every page that can carry one.
  const int64_t sliding_pages =
      visibility.sliding_window > 0 ? survivors_.page_count() : int64_t{1};
  out.masks.reserve(
      static_cast<size_t>((2 * window_.page_count() + sliding_pages + 1) * tile.positions));
  // Below the band everything kept is among the survivors and seen by the whole tile.
  const int64_t band = std::clamp(std::max<int64_t>(tile.first - visibility.window, 0),
                                  std::min(window_.begin(), sealed_end_),
                                  sealed_end_);
  survivors_.gather(sealed(), band, tile, visibility, out);
  out.band_begin = std::ssize(out.pages);
  gather_band(band, tile, visibility, out);
}

void HeadCache::gather_band(int64_t begin,
                            const QueryTile& tile,
                            const Visibility& visibility,
                            TilePages& out) const {
  const int64_t end = tile.first + tile.positions;
  const int64_t sliding = visibility.sliding_window > 0 ? visibility.sliding_window : end;
  for (int64_t page = begin / kPageTokens; page * kPageTokens < end; ++page) {
    const int64_t base = page * kPageTokens;
    const uint32_t kept = ~fates_.evicted_word(page);
    const std::byte* data = window_.page(page).data();
    const auto seen = [&](int64_t t) {
      return low_bits(t + 1 - base) & bits_from(begin - base) & bits_from(t - sliding + 1 - base);
    };
    const auto recent = [&](int64_t t) { return bits_from(t - visibility.window - base); };
    const kernels::PageRef near{.data = data, .masks = out.masks.data() + out.masks.size()};
    uint32_t any_far = 0;
    for (int64_t t = tile.first; t < end; ++t) {
      out.masks.push_back(seen(t) & (visibility.far_frame ? recent(t) : recent(t) | kept));
      any_far |= seen(t) & kept & ~recent(t);
    }
    out.pages.push_back(near);
    if (!visibility.far_frame || any_far == 0) continue;
    out.pages.push_back({.data = data, .masks = out.masks.data() + out.masks.size(), .far = true});
    for (int64_t t = tile.first; t < end; ++t) out.masks.push_back(seen(t) & kept & ~recent(t));
  }
}

bool HeadCache::can_truncate(int64_t tokens, int64_t exact_tokens, int64_t sliding_window) const {
  if (!survivors_.reaches_back_to(sealed(), tokens, sliding_window)) return false;
  const int64_t needed = std::max<int64_t>(tokens - exact_tokens, 0);
  if (needed >= sealed_end_) return true;
  return one_type() && fates_.kept_between(needed, sealed_end_) == sealed_end_ - needed;
}

void HeadCache::truncate(int64_t tokens) {
  if (tokens < sealed_end_) {
    survivors_.truncate(sealed(), tokens);
    sealed_end_ = tokens;
    window_.clear();
  }
  window_.truncate(tokens);
}

void HeadCache::clear_entries() {
  window_.clear();
  survivors_.clear();
  sealed_end_ = 0;
}

void HeadCache::write(ByteWriter& out) const {
  fates_.write(out);
  out.value(sealed_end_);
  window_.write(out);
  survivors_.write(out);
}

void HeadCache::read(ByteReader& in, int64_t tokens, int64_t decided_end) {
  fates_ = FateLog::read(in, decided_end);
  sealed_end_ = in.number(0, tokens, "the end of what is sealed");
  window_.read(in, tokens);
  const bool has_all =
      window_.page_count() > 0 ? window_.begin() <= sealed_end_ : sealed_end_ == tokens;
  in.require(has_all, "tokens are neither in the window nor sealed");
  survivors_.read(in, sealed());
}

int64_t HeadCache::held_tokens(int64_t tokens, const Visibility& visibility) const {
  const int64_t first_recent = std::max<int64_t>(tokens - 1 - visibility.window, 0);
  const int64_t first_seen =
      visibility.sliding_window > 0 ? std::max<int64_t>(tokens - visibility.sliding_window, 0) : 0;
  const int64_t first_exact = std::max(first_recent, first_seen);
  return tokens - first_exact + fates_.kept_between(std::min(first_seen, first_exact), first_exact);
}

int64_t HeadCache::table_bytes() const {
  return window_.table_bytes() + survivors_.table_bytes() + fates_.bytes() +
         static_cast<int64_t>(sizeof(*this));
}

}  // namespace dms::cache
