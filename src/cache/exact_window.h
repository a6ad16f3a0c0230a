#pragma once
// The last tokens of one head, exact: pages aligned to positions (page p holds tokens 32p .. 32p +
// 31), written in order at the end and given back at the front. Engine thread only, but for
// reading.

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "cache/page_pool.h"
#include "kernels/kv_page.h"

namespace dms::cache {

class ExactWindow {
 public:
  ExactWindow(const kernels::KvPageLayout& layout, PagePool& pool)
      : layout_(layout), pool_(&pool) {}

  /// Shares every page with the copy; whoever writes first copies.
  ExactWindow fork() const;

  const kernels::KvPageLayout& layout() const { return layout_; }
  /// The first position its pages really hold.
  int64_t begin() const { return begin_; }
  /// Page `page` (of positions 32 * page and on), which it holds.
  std::span<const std::byte> page(int64_t page) const;

  /// Writes token `position`; positions come in order, without gaps.
  void store(int64_t position, std::span<const float> key, std::span<const float> value);
  /// Gives back the pages that hold nothing from `position` on.
  void drop_before(int64_t position);
  /// Forgets `position` and later tokens.
  void truncate(int64_t position);
  void clear() { pages_.clear(); }

  /// For PagePool::pack().
  std::span<Page> pages() { return pages_; }

  void write(ByteWriter& out) const;
  /// What write() wrote of a sequence of `tokens` tokens. Throws InputError where it can't be that,
  /// RunError at the memory limit.
  void read(ByteReader& in, int64_t tokens);

  /// Pages that storing `count` tokens from `position` on takes: new ones and copies of shared
  /// ones.
  int64_t page_need(int64_t position, int64_t count) const;
  /// Pages of our own that drop_before(`end`) gives back once those tokens are stored.
  int64_t pages_before(int64_t position, int64_t count, int64_t end) const;
  int64_t page_count() const { return std::ssize(pages_); }
  int64_t table_bytes() const { return std::ssize(pages_) * static_cast<int64_t>(sizeof(Page)); }

 private:
  int64_t first_page_for(int64_t position) const;
  bool is_shared(int64_t page) const;

  kernels::KvPageLayout layout_;
  PagePool* pool_;
  std::vector<Page> pages_;
  int64_t first_page_ = 0;  // position / 32 of pages_.front()
  int64_t begin_ = 0;
};

}  // namespace dms::cache
