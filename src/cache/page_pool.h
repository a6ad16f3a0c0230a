#pragma once
// The one store of KV memory: reference-counted pages of equal size, cut from slabs that are taken
// from the system on demand and given back when empty. Invariant: pages in use + free pages = pages
// of all slabs. Engine thread only.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/bytes.h"

namespace dms::cache {

/// Where pages begin: at a multiple of it.
inline constexpr int64_t kPageAlignment = 64;

/// What all pools of one model may take together. Shared by value semantics of a pointer.
struct MemoryBudget {
  int64_t limit_bytes = 0;  // 0: none
  int64_t used_bytes = 0;   // slabs of every pool, and what counts beside them
  int64_t peak_bytes = 0;
  int64_t promised_bytes = 0;  // what all pools may still take by promise()

  bool fits(int64_t bytes) const { return limit_bytes == 0 || used_bytes + bytes <= limit_bytes; }
  /// Throws MemoryShortage where so many more do not fit.
  void require(int64_t bytes) const;
  void take(int64_t bytes) {
    used_bytes += bytes;
    peak_bytes = std::max(peak_bytes, used_bytes);
  }
};

class PagePool;

/// Move-only handle of one reference to a page; the page is free when the last one goes.
class Page {
 public:
  Page() = default;
  Page(Page&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), slab_(other.slab_), index_(other.index_) {}
  Page& operator=(Page&& other) noexcept;
  ~Page();

  /// Another reference to the same page.
  Page share() const;
  bool is_shared() const;
  /// Makes it ours alone, before a write: a shared one becomes a copy. Throws RunError.
  void unshare();
  std::span<std::byte> bytes();
  std::span<const std::byte> bytes() const;

 private:
  friend class PagePool;
  struct Slab;
  Page(PagePool* pool, Slab* slab, int64_t index) : pool_(pool), slab_(slab), index_(index) {}

  PagePool* pool_ = nullptr;
  Slab* slab_ = nullptr;
  int64_t index_ = 0;
};

/// A list of pages as bytes, the count first.
void write_pages(std::span<const Page> pages, ByteWriter& out);
/// Where the reader's bytes have an owner the pages stay there, uncopied. Throws InputError where
/// the bytes end early, RunError at the memory limit.
std::vector<Page> read_pages(ByteReader& in, PagePool& pool);

class PagePool {
 public:
  /// `budget` outlives the pool.
  PagePool(int64_t page_bytes, MemoryBudget& budget);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  /// A page of undefined content. Throws RunError when the budget is used up.
  Page allocate();
  /// `count` pages that lie one after the other in memory of `owner`, aligned as pages are. They
  /// count as those of slabs do, but for that none of them is used again. Throws RunError when the
  /// budget is used up.
  std::vector<Page> adopt(std::byte* memory, int64_t count, std::shared_ptr<const void> owner);
  /// What must be taken from the system before `pages` more can be had.
  int64_t missing_bytes(int64_t pages) const {
    return std::max<int64_t>(pages - free_pages(), 0) * page_bytes_;
  }
  /// Announces that up to `pages` more will be wanted, in place of the last announcement: until
  /// they are there, no pool of the budget takes more than it needs at their cost.
  void promise(int64_t pages);
  /// Whether more is free than grows with use: pages that went have left holes.
  bool is_sparse() const;
  /// From then on pages are taken from fewer slabs, into whose holes the pages of the others fit.
  void begin_packing();
  /// Moves those of `pages` out of the others that nobody shares.
  void pack(std::span<Page> pages);
  /// Gives slabs back that have become empty.
  void end_packing();
  /// Takes slabs from the system until `pages` are free, and keeps them. Throws RunError.
  void reserve(int64_t pages);

  int64_t page_bytes() const { return page_bytes_; }
  int64_t pages_in_use() const { return pages_in_use_; }
  int64_t free_pages() const { return total_pages_ - pages_in_use_; }
  int64_t slab_bytes() const { return total_pages_ * page_bytes_; }

 private:
  friend class Page;
  void add_slab(int64_t pages);
  void release(Page::Slab& slab, int64_t index);
  void release_adopted(Page::Slab& slab, int64_t index);
  void drop_slab_if_spare(Page::Slab& slab);
  void drop_slab(Page::Slab& slab);
  void change_total(int64_t pages);
  void count_adopted(int64_t pages);
  int64_t promised_bytes() const {
    return std::max<int64_t>(promised_total_ - total_pages_, 0) * page_bytes_;
  }

  int64_t page_bytes_;
  MemoryBudget& budget_;
  int64_t reserved_pages_ = 0;  // kept although free
  int64_t promised_total_ = 0;  // total_pages_ once all that was announced is there
  int64_t total_pages_ = 0;
  int64_t pages_in_use_ = 0;
  std::vector<std::unique_ptr<Page::Slab>> slabs_;
  std::vector<Page::Slab*> open_slabs_;  // those with a free page
};

}  // namespace dms::cache
