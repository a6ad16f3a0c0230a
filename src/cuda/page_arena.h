#pragma once
// Which stretches of the arena are pages in use. Pages of a few sizes share it: it is cut into
// slabs, each of one size at a time, which fall back when their last page does. Pages are counted
// by who refers to them, so that branches share them. Knows no device: pages are numbers.

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

/// Where a page begins, in units of kPageUnit from the arena's begin.
using PageNumber = uint32_t;
inline constexpr PageNumber kNoPage = 0xffff'ffff;

/// Pages that something takes, by their bytes.
using PageDemand = std::map<int32_t, int64_t>;

class PageArena {
 public:
  /// Of an arena of `bytes` bytes.
  explicit PageArena(int64_t bytes);

  /// Whether so many pages more, by their bytes, are there to be had at once.
  bool fits(const PageDemand& pages) const;
  /// A page of `bytes` bytes, a multiple of kPageUnit, with one reference; kNoPage: none is left.
  PageNumber take(int32_t bytes);
  void share(PageNumber page) { ++references(page); }
  /// Gives one reference back; with the last one the page is free.
  void release(PageNumber page);
  bool is_shared(PageNumber page) { return references(page) > 1; }

  int64_t used_bytes() const { return used_bytes_; }
  int64_t bytes() const { return slab_units_ * std::ssize(slabs_) * kPageUnit; }

 private:
  struct Slab {
    int32_t page_units = 0;  // 0: it is of no size
    int64_t used = 0;
    std::vector<uint32_t> references{};    // [pages]
    std::vector<PageNumber> free_pages{};  // within the slab, the next one last
  };
  /// The slabs of a size that have a page left.
  struct Size {
    std::set<int64_t> open{};
    int64_t free_pages = 0;  // of them
  };

  int64_t pages_of_slab(int32_t page_units) const { return slab_units_ / page_units; }
  uint32_t& references(PageNumber page);
  bool open_slab(int32_t page_units, Size& size);
  void close_slab(int64_t index, Size& size);

  int64_t slab_units_;
  std::vector<Slab> slabs_;
  std::vector<int64_t> empty_slabs_;  // the next one last
  std::map<int32_t, Size> sizes_;     // by units of a page
  int64_t used_bytes_ = 0;
};

}  // namespace dms::cuda
