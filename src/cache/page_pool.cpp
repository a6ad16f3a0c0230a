#include "cache/page_pool.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "dms/error.h"

namespace dms::cache {
namespace {

// A slab is a sixteenth of what is already in use, so that unused pages never cost more than about
// 6 %, and at most 4 MiB; small sequences start with four pages.
constexpr int64_t kMinSlabPages = 4;
constexpr int64_t kMaxSlabBytes = int64_t{4} << 20;
constexpr int64_t kGrowthDivisor = 16;
constexpr int64_t kSparseDivisor = 8;
// More than any machine has: what is asked ahead of need may have any size.
constexpr int64_t kMaxBytes = int64_t{1} << 50;

}  // namespace

void MemoryBudget::require(int64_t bytes) const {
  if (fits(bytes) && bytes < kMaxBytes) return;
  throw MemoryShortage(
      {.where = "KV memory",
       .what = "limit reached",
       .got = std::to_string(used_bytes + bytes) + " bytes needed",
       .expected = "at most " + std::to_string(limit_bytes == 0 ? kMaxBytes : limit_bytes),
       .hint = "raise kv_memory_bytes, shorten the input or use a smaller window"});
}

struct Page::Slab {
  AlignedBuffer memory;
  std::shared_ptr<const void> owner;  // of memory that is not the slab's own
  std::byte* data = nullptr;
  std::vector<int32_t> references;    // per page; 0: free
  std::vector<int32_t> free_indices;  // taken from the back
  bool is_leaving = false;            // its pages are moved elsewhere

  int64_t pages() const { return std::ssize(references); }
  int64_t used() const { return pages() - std::ssize(free_indices); }
};

Page& Page::operator=(Page&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(slab_, other.slab_);
  std::swap(index_, other.index_);
  return *this;
}

Page::~Page() {
  if (pool_ != nullptr) pool_->release(*slab_, index_);
}

Page Page::share() const {
  ensure(pool_ != nullptr, "sharing an empty page");
  ++slab_->references[static_cast<size_t>(index_)];
  return {pool_, slab_, index_};
}

bool Page::is_shared() const { return slab_->references[static_cast<size_t>(index_)] > 1; }

void Page::unshare() {
  if (!is_shared()) return;
  Page copy = pool_->allocate();
  std::ranges::copy(std::as_const(*this).bytes(), copy.bytes().begin());
  *this = std::move(copy);
}

std::span<std::byte> Page::bytes() {
  const int64_t size = pool_->page_bytes();
  return {slab_->data + index_ * size, static_cast<size_t>(size)};
}

std::span<const std::byte> Page::bytes() const {
  const int64_t size = pool_->page_bytes();
  return {slab_->data + index_ * size, static_cast<size_t>(size)};
}

void write_pages(std::span<const Page> pages, ByteWriter& out) {
  out.value(static_cast<int64_t>(pages.size()));
  if (!pages.empty()) out.align(kPageAlignment);
  for (const Page& page : pages) out.bytes(page.bytes());
}

std::vector<Page> read_pages(ByteReader& in, PagePool& pool) {
  const int64_t count = in.count_of(pool.page_bytes());
  if (count == 0) return {};
  in.align();
  const std::span<const std::byte> bytes = in.bytes(count * pool.page_bytes());
  // Memory with an owner may be written to.
  auto* memory = const_cast<std::byte*>(bytes.data());
  const bool is_aligned = reinterpret_cast<uintptr_t>(memory) % kPageAlignment == 0;
  if (in.owner() && is_aligned) return pool.adopt(memory, count, in.owner());
  std::vector<Page> pages;
  for (int64_t i = 0; i < count; ++i) {
    const auto from = static_cast<size_t>(i * pool.page_bytes());
    pages.push_back(pool.allocate());
    std::ranges::copy(bytes.subspan(from, static_cast<size_t>(pool.page_bytes())),
                      pages.back().bytes().begin());
  }
  return pages;
}

PagePool::PagePool(int64_t page_bytes, MemoryBudget& budget)
    : page_bytes_(page_bytes), budget_(budget) {}

PagePool::~PagePool() {
  budget_.promised_bytes -= promised_bytes();
  budget_.used_bytes -= slab_bytes();
}

Page PagePool::allocate() {
  if (open_slabs_.empty()) {
    const int64_t wanted = std::clamp(total_pages_ / kGrowthDivisor,
                                      kMinSlabPages,
                                      std::max(kMinSlabPages, kMaxSlabBytes / page_bytes_));
    const int64_t of_others = budget_.promised_bytes - promised_bytes();
    const int64_t bytes = std::max(wanted * page_bytes_, promised_bytes());
    add_slab(budget_.fits(of_others + bytes) ? wanted : 1);
  }
  Page::Slab& slab = *open_slabs_.back();
  const int32_t index = slab.free_indices.back();
  slab.free_indices.pop_back();
  if (slab.free_indices.empty()) open_slabs_.pop_back();
  slab.references[static_cast<size_t>(index)] = 1;
  ++pages_in_use_;
  return {this, &slab, index};
}

void PagePool::promise(int64_t pages) {
  budget_.promised_bytes -= promised_bytes();
  promised_total_ = pages_in_use_ + pages;
  budget_.promised_bytes += promised_bytes();
}

void PagePool::change_total(int64_t pages) {
  budget_.promised_bytes -= promised_bytes();
  total_pages_ += pages;
  budget_.promised_bytes += promised_bytes();
  budget_.take(pages * page_bytes_);
}

void PagePool::reserve(int64_t pages) {
  reserved_pages_ = std::max(reserved_pages_, pages_in_use_ + pages);
  if (pages > free_pages()) add_slab(pages - free_pages());
}

std::vector<Page> PagePool::adopt(std::byte* memory,
                                  int64_t count,
                                  std::shared_ptr<const void> owner) {
  budget_.require(count * page_bytes_);
  auto slab = std::make_unique<Page::Slab>();
  slab->owner = std::move(owner);
  slab->data = memory;
  slab->references.assign(static_cast<size_t>(count), 1);
  std::vector<Page> pages;
  pages.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) pages.push_back(Page(this, slab.get(), i));
  slabs_.push_back(std::move(slab));
  count_adopted(count);
  return pages;
}

/// They are never free, so that what was announced neither takes from them nor is served by them.
void PagePool::count_adopted(int64_t pages) {
  pages_in_use_ += pages;
  budget_.promised_bytes -= promised_bytes();
  promised_total_ += pages;
  budget_.promised_bytes += promised_bytes();
  change_total(pages);
}

void PagePool::add_slab(int64_t pages) {
  const int64_t bytes = checked_mul(pages, page_bytes_).value_or(kMaxBytes);
  budget_.require(bytes);
  auto slab = std::make_unique<Page::Slab>();
  slab->memory = AlignedBuffer(bytes);
  slab->data = slab->memory.data();
  slab->references.assign(static_cast<size_t>(pages), 0);
  for (int64_t i = pages; i-- > 0;) slab->free_indices.push_back(static_cast<int32_t>(i));
  open_slabs_.push_back(slab.get());
  slabs_.push_back(std::move(slab));
  change_total(pages);
}

void PagePool::release(Page::Slab& slab, int64_t index) {
  int32_t& references = slab.references[static_cast<size_t>(index)];
  ensure(references > 0, "page released twice");
  if (--references > 0) return;
  if (slab.owner) return release_adopted(slab, index);
  if (slab.free_indices.empty() && !slab.is_leaving) open_slabs_.push_back(&slab);
  slab.free_indices.push_back(static_cast<int32_t>(index));
  --pages_in_use_;
  drop_slab_if_spare(slab);
}

void PagePool::release_adopted(Page::Slab& slab, int64_t index) {
  slab.free_indices.push_back(static_cast<int32_t>(index));
  count_adopted(-1);
  if (slab.used() == 0) {
    std::erase_if(slabs_, [&](const auto& owned) { return owned.get() == &slab; });
  }
}

void PagePool::drop_slab_if_spare(Page::Slab& slab) {
  // One slab's worth of free pages stays as a cushion, so that a sequence whose use swings by a few
  // pages does not map and unmap memory at every chunk.
  if (slab.used() == 0 && !slab.is_leaving && free_pages() >= 2 * slab.pages()) drop_slab(slab);
}

void PagePool::drop_slab(Page::Slab& slab) {
  const int64_t pages = slab.pages();
  if (total_pages_ - pages < reserved_pages_) return;
  std::erase(open_slabs_, &slab);
  std::erase_if(slabs_, [&](const auto& owned) { return owned.get() == &slab; });
  change_total(-pages);
}

bool PagePool::is_sparse() const {
  return free_pages() > std::max(total_pages_ / kSparseDivisor, kMinSlabPages);
}

void PagePool::begin_packing() {
  std::vector<Page::Slab*> by_use;
  for (const auto& slab : slabs_) {
    if (!slab->owner) by_use.push_back(slab.get());
  }
  std::ranges::stable_sort(by_use, {}, [](const Page::Slab* slab) {
    return static_cast<double>(slab->used()) / static_cast<double>(slab->pages());
  });
  // Of one that leaves, the free pages are room no longer, and the others take room elsewhere.
  int64_t room = free_pages();
  for (Page::Slab* slab : by_use) {
    if (slab->pages() > room) continue;
    room -= slab->pages();
    slab->is_leaving = true;
  }
  std::erase_if(open_slabs_, [](const Page::Slab* slab) { return slab->is_leaving; });
}

void PagePool::pack(std::span<Page> pages) {
  for (Page& page : pages) {
    if (!page.slab_->is_leaving || page.is_shared()) continue;
    Page moved = allocate();
    std::ranges::copy(std::as_const(page).bytes(), moved.bytes().begin());
    page = std::move(moved);
  }
}

void PagePool::end_packing() {
  std::vector<Page::Slab*> left;
  for (const auto& slab : slabs_) {
    if (std::exchange(slab->is_leaving, false)) left.push_back(slab.get());
  }
  for (Page::Slab* slab : left) {
    if (!slab->free_indices.empty()) open_slabs_.push_back(slab);
    if (slab->used() == 0) drop_slab(*slab);
  }
}

}  // namespace dms::cache
