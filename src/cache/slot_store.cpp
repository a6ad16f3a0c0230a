#include "cache/slot_store.h"

#include <algorithm>

#include "base/check.h"

namespace dms::cache {

using kernels::kPageTokens;

std::unique_ptr<SurvivorStore> SlotStore::fork() const {
  auto copy = std::make_unique<SlotStore>(layout_, *pool_);
  copy->share_pages(*this);
  copy->positions_ = positions_;
  copy->expired_below_ = expired_below_;
  return copy;
}

void SlotStore::append(int64_t position, const StoredToken& token) {
  append_token(token);
  positions_.push_back(static_cast<int32_t>(position));
}

template <class Gone>
void SlotStore::drop_where(Gone is_gone) {
  for (int64_t slot = 0; slot < count_;) {
    if (!is_gone(positions_[static_cast<size_t>(slot)])) {
      ++slot;
      continue;
    }
    const int64_t last = count_ - 1;
    if (slot != last) {
      Page& target = pages_[static_cast<size_t>(slot / kPageTokens)];
      target.unshare();
      kernels::overwrite_token(layout_,
                               std::as_const(pages_.back()).bytes(),
                               last % kPageTokens,
                               target.bytes(),
                               slot % kPageTokens);
      positions_[static_cast<size_t>(slot)] = positions_.back();
    }
    positions_.pop_back();
    count_ = last;
    if (count_ % kPageTokens == 0) pages_.pop_back();
  }
}

void SlotStore::drop_evicted(const Sealed& sealed) {
  drop_where([&](int64_t position) { return sealed.fates.is_evicted(position); });
}

void SlotStore::expire(const Sealed&, int64_t next_position, int64_t sliding_window) {
  const int64_t first_visible = next_position - sliding_window + 1;
  const auto is_expired = [&](int64_t position) { return position < first_visible; };
  // A page's worth at a time.
  if (std::ranges::count_if(positions_, is_expired) < kPageTokens) return;
  drop_where(is_expired);
  expired_below_ = first_visible;
}

void SlotStore::truncate(const Sealed&, int64_t position) {
  drop_where([&](int64_t entry) { return entry >= position; });
}

void SlotStore::clear() {
  pages_.clear();
  positions_.clear();
  count_ = 0;
  expired_below_ = 0;
}

void SlotStore::visit(
    const std::function<void(int64_t position, const StoredToken& token)>& visitor) const {
  for (int64_t i = 0; i < count_; ++i) {
    visitor(positions_[static_cast<size_t>(i)],
            {.layout = layout_,
             .page = pages_[static_cast<size_t>(i / kPageTokens)].bytes(),
             .slot = i % kPageTokens});
  }
}

void SlotStore::gather(const Sealed&,
                       int64_t end,
                       const QueryTile& tile,
                       const Visibility& visibility,
                       TilePages& out) const {
  const int64_t sliding =
      visibility.sliding_window > 0 ? visibility.sliding_window : tile.first + tile.positions;
  const int64_t last = tile.first + tile.positions - 1;
  for (int64_t page = 0; page < page_count(); ++page) {
    const int64_t base = page * kPageTokens;
    const auto entries = std::span(positions_)
                             .subspan(static_cast<size_t>(base),
                                      static_cast<size_t>(std::min(kPageTokens, count_ - base)));
    const auto [low, high] = std::ranges::minmax(entries);
    const auto add = [&](bool far, int64_t from, int64_t to) {
      if (high < from || low >= to) return;
      kernels::PageRef ref{.data = pages_[static_cast<size_t>(page)].bytes().data(), .far = far};
      const bool sees_all =
          std::ssize(entries) == kPageTokens && low >= from && high < to && low > last - sliding;
      if (!sees_all) ref.masks = out.masks.data() + out.masks.size();
      for (int64_t t = tile.first; t <= last && !sees_all; ++t) {
        uint32_t mask = 0;
        for (size_t slot = 0; slot < entries.size(); ++slot) {
          const int64_t position = entries[slot];
          const bool is_seen = position >= from && position < to && position > t - sliding;
          mask |= static_cast<uint32_t>(is_seen) << slot;
        }
        out.masks.push_back(mask);
      }
      out.pages.push_back(ref);
      if (visibility.positions) out.add_positions(entries);
    };
    add(true, 0, std::min(visibility.far_end, end));
    add(false, visibility.near_begin, end);
  }
}

bool SlotStore::reaches_back_to(const Sealed&, int64_t tokens, int64_t sliding_window) const {
  return expired_below_ <= std::max<int64_t>(tokens - sliding_window + 1, 0);
}

int64_t SlotStore::table_bytes() const {
  return SurvivorStore::table_bytes() +
         static_cast<int64_t>(positions_.capacity() * sizeof(int32_t));
}

void SlotStore::write(ByteWriter& out) const {
  out.value(expired_below_);
  out.list(std::span(positions_));
  write_pages(pages_, out);
}

void SlotStore::read(ByteReader& in, const Sealed& sealed) {
  expired_below_ = in.number(0, sealed.end, "where the sliding window begins");
  positions_ = in.list<int32_t>();
  count_ = std::ssize(positions_);
  // Each kept token once, but for those that the sliding window may have taken.
  std::vector<int32_t> sorted = positions_;
  std::ranges::sort(sorted);
  const bool is_distinct = std::ranges::adjacent_find(sorted) == sorted.end();
  in.require(is_distinct, "a survivor stands there twice");
  for (const int32_t position : sorted) {
    in.require(position >= 0 && position < sealed.end && !sealed.fates.is_evicted(position),
               "a survivor that was evicted or is not there");
  }
  const auto recent = std::ranges::lower_bound(sorted, expired_below_);
  in.require(sorted.end() - recent == sealed.fates.kept_between(expired_below_, sealed.end),
             "survivors of another number");
  pages_ = read_pages(in, *pool_);
  in.require(std::ssize(pages_) == ceil_div(count_, kPageTokens), "survivors of another number");
}

}  // namespace dms::cache
