#include "cache/ordered_store.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "cache/page_bits.h"

namespace dms::cache {

using kernels::kPageTokens;

std::unique_ptr<SurvivorStore> OrderedStore::fork() const {
  auto copy = std::make_unique<OrderedStore>(layout_, *pool_);
  copy->share_pages(*this);
  copy->expired_pages_ = expired_pages_;
  return copy;
}

/// Survivors, expired ones included, at positions below `position`.
int64_t OrderedStore::kept_below(const Sealed& sealed, int64_t position) const {
  return count_ - sealed.fates.kept_between(std::min(position, sealed.end), sealed.end);
}

/// Of `count` survivors, expired ones included, from the `first` on.
std::vector<int32_t> OrderedStore::positions_from(const Sealed& sealed,
                                                  int64_t first,
                                                  int64_t count) {
  std::vector<int32_t> positions;
  positions.reserve(static_cast<size_t>(count));
  int64_t passed = 0;
  for (int64_t page = 0; std::ssize(positions) < count; ++page) {
    uint32_t kept = ~sealed.fates.evicted_word(page);
    const int64_t here = std::popcount(kept);
    if (passed + here <= first) {
      passed += here;
      continue;
    }
    for (; kept != 0 && std::ssize(positions) < count; kept &= kept - 1) {
      if (passed++ < first) continue;
      positions.push_back(static_cast<int32_t>(page * kPageTokens + std::countr_zero(kept)));
    }
  }
  return positions;
}

void OrderedStore::append(int64_t, const StoredToken& token) { append_token(token); }

void OrderedStore::expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window) {
  const int64_t first_visible = next_position - sliding_window + 1;
  if (first_visible <= 0) return;
  const int64_t pages = std::clamp<int64_t>(
      kept_below(sealed, first_visible) / kPageTokens - expired_pages_, 0, std::ssize(pages_));
  pages_.erase(pages_.begin(), pages_.begin() + pages);
  expired_pages_ += pages;
}

void OrderedStore::truncate(const Sealed& sealed, int64_t position) {
  count_ = kept_below(sealed, position);
  while ((expired_pages_ + std::ssize(pages_) - 1) * kPageTokens >= count_ && !pages_.empty()) {
    pages_.pop_back();
  }
}

void OrderedStore::clear() {
  pages_.clear();
  count_ = 0;
  expired_pages_ = 0;
}

int64_t OrderedStore::most_masked_pages(const Visibility& visibility) const {
  return visibility.sliding_window > 0 ? page_count() : 1;
}

void OrderedStore::gather(const Sealed& sealed,
                          int64_t end,
                          const QueryTile& tile,
                          const Visibility& visibility,
                          TilePages& out) const {
  const int64_t count = kept_below(sealed, end);
  // Entries below hidden[t] lie outside query t's sliding window.
  std::array<int64_t, kernels::kMaxTilePositions> hidden{};
  if (visibility.sliding_window > 0) {
    for (int64_t t = 0; t < tile.positions; ++t) {
      hidden[static_cast<size_t>(t)] =
          kept_below(sealed, std::max<int64_t>(tile.first + t - visibility.sliding_window + 1, 0));
    }
  }
  const int64_t first_page = std::max(hidden[0] / kPageTokens, expired_pages_);
  const int64_t last_hidden = hidden[static_cast<size_t>(tile.positions - 1)];
  std::vector<int32_t> positions;
  if (visibility.positions) {
    const int64_t first = first_page * kPageTokens;
    positions = positions_from(sealed, first, std::max<int64_t>(count - first, 0));
  }
  for (int64_t page = first_page; page * kPageTokens < count; ++page) {
    const int64_t base = page * kPageTokens;
    kernels::PageRef ref{.data = pages_[static_cast<size_t>(page - expired_pages_)].bytes().data(),
                         .far = visibility.far_end > 0};
    if (base + kPageTokens > count || base < last_hidden) {
      ref.masks = out.masks.data() + out.masks.size();
      for (int64_t t = 0; t < tile.positions; ++t) {
        out.masks.push_back(low_bits(count - base) &
                            bits_from(hidden[static_cast<size_t>(t)] - base));
      }
    }
    out.pages.push_back(ref);
    if (!visibility.positions) continue;
    const int64_t from = base - first_page * kPageTokens;
    out.add_positions(std::span(positions).subspan(
        static_cast<size_t>(from), static_cast<size_t>(std::min(kPageTokens, count - base))));
  }
}

bool OrderedStore::reaches_back_to(const Sealed& sealed,
                                   int64_t tokens,
                                   int64_t sliding_window) const {
  const int64_t first_visible = std::max<int64_t>(tokens - sliding_window + 1, 0);
  return expired_pages_ * kPageTokens <= kept_below(sealed, first_visible);
}

void OrderedStore::write(ByteWriter& out) const {
  out.value(expired_pages_);
  write_pages(pages_, out);
}

void OrderedStore::read(ByteReader& in, const Sealed& sealed) {
  count_ = sealed.fates.kept_between(0, sealed.end);
  const int64_t pages = ceil_div(count_, kPageTokens);
  // A page that more is written to has not expired.
  expired_pages_ = in.number(0, count_ / kPageTokens, "the pages of survivors that expired");
  pages_ = read_pages(in, *pool_);
  in.require(expired_pages_ + std::ssize(pages_) == pages, "survivors of another number");
}

}  // namespace dms::cache
