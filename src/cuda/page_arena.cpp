#include "cuda/page_arena.h"

#include <algorithm>

#include "base/check.h"

namespace dms::cuda {
namespace {

// Large enough that a size leaves little of a slab over (pages have 4 to 64 KiB), small enough that
// sizes don't starve one another: a sixty-fourth of the arena, and at most 16 MiB.
constexpr int64_t kMostSlabUnits = 1 << 16;
constexpr int64_t kLeastSlabUnits = 1 << 9;
constexpr int64_t kSlabs = 64;

}  // namespace

PageArena::PageArena(int64_t bytes) {
  const int64_t units = bytes / kPageUnit;
  slab_units_ = std::clamp(units / kSlabs, kLeastSlabUnits, kMostSlabUnits);
  slabs_.resize(static_cast<size_t>(units / slab_units_));
  for (int64_t i = std::ssize(slabs_) - 1; i >= 0; --i) empty_slabs_.push_back(i);
}

bool PageArena::fits(const PageDemand& pages) const {
  int64_t slabs = 0;
  for (const auto& [bytes, count] : pages) {
    const auto units = static_cast<int32_t>(bytes / kPageUnit);
    const auto size = sizes_.find(units);
    const int64_t missing = count - (size == sizes_.end() ? 0 : size->second.free_pages);
    if (missing > 0) slabs += ceil_div(missing, std::max<int64_t>(pages_of_slab(units), 1));
    if (missing > 0 && pages_of_slab(units) == 0) return false;
  }
  return slabs <= std::ssize(empty_slabs_);
}

PageNumber PageArena::take(int32_t bytes) {
  const auto units = static_cast<int32_t>(bytes / kPageUnit);
  Size& size = sizes_[units];
  if (size.free_pages == 0 && !open_slab(units, size)) return kNoPage;
  const int64_t index = *size.open.begin();
  Slab& slab = slabs_[static_cast<size_t>(index)];
  const PageNumber place = slab.free_pages.back();
  slab.free_pages.pop_back();
  slab.references[place] = 1;
  ++slab.used;
  --size.free_pages;
  if (slab.free_pages.empty()) size.open.erase(index);
  used_bytes_ += bytes;
  return static_cast<PageNumber>(index * slab_units_ + int64_t{place} * units);
}

uint32_t& PageArena::references(PageNumber page) {
  Slab& slab = slabs_[static_cast<size_t>(page / slab_units_)];
  return slab.references[static_cast<size_t>(page % slab_units_ / slab.page_units)];
}

void PageArena::release(PageNumber page) {
  uint32_t& count = references(page);
  ensure(count > 0, "a page that is in use");
  if (--count > 0) return;
  const int64_t index = page / slab_units_;
  Slab& slab = slabs_[static_cast<size_t>(index)];
  Size& size = sizes_[slab.page_units];
  slab.free_pages.push_back(static_cast<PageNumber>(page % slab_units_ / slab.page_units));
  --slab.used;
  ++size.free_pages;
  size.open.insert(index);
  used_bytes_ -= slab.page_units * kPageUnit;
  if (slab.used == 0) close_slab(index, size);
}

bool PageArena::open_slab(int32_t page_units, Size& size) {
  const int64_t pages = pages_of_slab(page_units);
  if (empty_slabs_.empty() || pages == 0) return false;
  const int64_t index = empty_slabs_.back();
  empty_slabs_.pop_back();
  Slab& slab = slabs_[static_cast<size_t>(index)];
  slab.page_units = page_units;
  slab.references.assign(static_cast<size_t>(pages), 0);
  for (int64_t i = pages - 1; i >= 0; --i) slab.free_pages.push_back(static_cast<PageNumber>(i));
  size.open.insert(index);
  size.free_pages += pages;
  return true;
}

void PageArena::close_slab(int64_t index, Size& size) {
  Slab& slab = slabs_[static_cast<size_t>(index)];
  size.open.erase(index);
  size.free_pages -= std::ssize(slab.free_pages);
  slab = Slab();
  empty_slabs_.push_back(index);
}

}  // namespace dms::cuda
