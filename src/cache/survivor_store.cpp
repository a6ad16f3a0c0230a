#include "cache/survivor_store.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "cache/page_bits.h"

namespace dms::cache {

using kernels::kPageTokens;

SurvivorStore SurvivorStore::fork() const {
  SurvivorStore copy(layout_, *pool_);
  for (const Page& page : pages_) copy.pages_.push_back(page.share());
  copy.count_ = count_;
  copy.expired_pages_ = expired_pages_;
  return copy;
}

/// Survivors, expired ones included, at positions below `position`.
int64_t SurvivorStore::kept_below(const Sealed& sealed, int64_t position) const {
  return count_ - sealed.fates.kept_between(std::min(position, sealed.end), sealed.end);
}

void SurvivorStore::append(const kernels::KvPageLayout& window_layout,
                           std::span<const std::byte> window_page,
                           int64_t slot) {
  const int64_t target_slot = count_ % kPageTokens;
  if (target_slot == 0) {
    pages_.push_back(pool_->allocate());
  } else {
    pages_.back().unshare();
  }
  const std::span<std::byte> target = pages_.back().bytes();
  if (window_layout.type == layout_.type) {
    kernels::copy_token(layout_, window_page, slot, target, target_slot);
  } else {
    thread_local std::vector<float> key;
    thread_local std::vector<float> value;
    key.resize(static_cast<size_t>(layout_.head_dim));
    value.resize(key.size());
    kernels::load_token(window_layout, window_page, slot, key, value);
    kernels::store_token(layout_, target, target_slot, key, value);
  }
  ++count_;
}

void SurvivorStore::expire(const Sealed& sealed, int64_t next_position, int64_t sliding_window) {
  const int64_t first_visible = next_position - sliding_window + 1;
  if (first_visible <= 0) return;
  const int64_t pages = std::clamp<int64_t>(
      kept_below(sealed, first_visible) / kPageTokens - expired_pages_, 0, std::ssize(pages_));
  pages_.erase(pages_.begin(), pages_.begin() + pages);
  expired_pages_ += pages;
}

void SurvivorStore::truncate(const Sealed& sealed, int64_t position) {
  count_ = kept_below(sealed, position);
  while ((expired_pages_ + std::ssize(pages_) - 1) * kPageTokens >= count_ && !pages_.empty()) {
    pages_.pop_back();
  }
}

void SurvivorStore::clear() {
  pages_.clear();
  count_ = 0;
  expired_pages_ = 0;
}

void SurvivorStore::gather(const Sealed& sealed,
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
  for (int64_t page = first_page; page * kPageTokens < count; ++page) {
    const int64_t base = page * kPageTokens;
    kernels::PageRef ref{.data = pages_[static_cast<size_t>(page - expired_pages_)].bytes().data(),
                         .far = visibility.far_frame};
    if (base + kPageTokens > count || base < last_hidden) {
      ref.masks = out.masks.data() + out.masks.size();
      for (int64_t t = 0; t < tile.positions; ++t) {
        out.masks.push_back(low_bits(count - base) &
                            bits_from(hidden[static_cast<size_t>(t)] - base));
      }
    }
    out.pages.push_back(ref);
  }
}

bool SurvivorStore::reaches_back_to(const Sealed& sealed,
                                    int64_t tokens,
                                    int64_t sliding_window) const {
  const int64_t first_visible = std::max<int64_t>(tokens - sliding_window + 1, 0);
  return expired_pages_ * kPageTokens <= kept_below(sealed, first_visible);
}

int64_t SurvivorStore::page_need(int64_t count) const {
  if (count == 0) return 0;
  const int64_t slot = count_ % kPageTokens;
  const bool writes_on = slot > 0 && !pages_.back().is_shared();
  return ceil_div(slot + count, kPageTokens) - (writes_on ? 1 : 0);
}

void SurvivorStore::write(ByteWriter& out) const {
  out.value(expired_pages_);
  write_pages(pages_, out);
}

void SurvivorStore::read(ByteReader& in, const Sealed& sealed) {
  count_ = sealed.fates.kept_between(0, sealed.end);
  const int64_t pages = ceil_div(count_, kPageTokens);
  expired_pages_ = in.number(0, pages, "the pages of survivors that expired");
  pages_ = read_pages(in, *pool_);
  in.require(expired_pages_ + std::ssize(pages_) == pages, "survivors of another number");
}

}  // namespace dms::cache
