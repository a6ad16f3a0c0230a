// Pages in memory that is not the pool's own: counted like others, shared and copied like others,
// and gone with the last reference.

#include "cache/page_pool.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "dms/error.h"

namespace dms::cache {
namespace {

constexpr int64_t kPageBytes = 256;

/// Aligned memory that says when it has gone.
struct Memory {
  Memory(std::string_view text, bool& has_gone) : buffer(std::ssize(text)), gone(has_gone) {
    std::ranges::copy(std::as_bytes(std::span(text)), buffer.data());
  }
  ~Memory() { gone = true; }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(buffer.bytes())};
  }

  AlignedBuffer buffer;
  bool& gone;
};

/// Three pages full of 1, 2 and 3, as write_pages() writes them.
std::string three_pages() {
  MemoryBudget budget;
  PagePool pool(kPageBytes, budget);
  std::vector<Page> pages;
  for (int i = 1; i <= 3; ++i) {
    pages.push_back(pool.allocate());
    std::ranges::fill(pages.back().bytes(), static_cast<std::byte>(i));
  }
  ByteWriter out;
  out.value('x');  // so that they do not begin where they should by chance
  write_pages(pages, out);
  return std::string(out.data());
}

struct Adopted {
  explicit Adopted(MemoryBudget& budget)
      : memory(std::make_shared<Memory>(three_pages(), has_gone)), pool(kPageBytes, budget) {}

  std::vector<Page> read() {
    ByteReader in(memory->bytes(), "test", memory);
    in.value<char>();
    std::vector<Page> pages = read_pages(in, pool);
    EXPECT_EQ(in.left(), 0);
    return pages;
  }

  bool has_gone = false;
  std::shared_ptr<Memory> memory;
  PagePool pool;
};

TEST(PagePool, AdoptsPagesWhereTheyLie) {
  MemoryBudget budget;
  Adopted adopted(budget);
  const std::byte* begin = adopted.memory->buffer.data();
  const std::byte* end = begin + adopted.memory->buffer.bytes();
  std::vector<Page> pages = adopted.read();
  ASSERT_EQ(pages.size(), 3u);
  for (size_t i = 0; i < pages.size(); ++i) {
    const auto bytes = std::as_const(pages[i]).bytes();
    EXPECT_TRUE(bytes.data() > begin && bytes.data() + bytes.size() <= end);
    EXPECT_TRUE(std::ranges::all_of(bytes, [&](std::byte b) { return b == std::byte(i + 1); }));
  }
  EXPECT_EQ(budget.used_bytes, 3 * kPageBytes);
  EXPECT_EQ(adopted.pool.pages_in_use(), 3);
  EXPECT_EQ(adopted.pool.free_pages(), 0);

  adopted.memory.reset();
  Page shared = pages[1].share();
  Page copy = pages[0].share();
  copy.unshare();
  EXPECT_EQ(std::as_const(copy).bytes().front(), std::byte{1});
  pages.clear();
  EXPECT_FALSE(adopted.has_gone) << "one of its pages is still held";
  EXPECT_EQ(adopted.pool.pages_in_use(), 2);
  shared = Page();
  EXPECT_TRUE(adopted.has_gone);
  EXPECT_EQ(adopted.pool.pages_in_use(), 1);
  EXPECT_EQ(budget.used_bytes, adopted.pool.slab_bytes());
}

TEST(PagePool, AdoptsNothingBeyondItsLimit) {
  MemoryBudget budget{.limit_bytes = 2 * kPageBytes};
  Adopted adopted(budget);
  EXPECT_THROW(adopted.read(), RunError);
  EXPECT_EQ(budget.used_bytes, 0);
}

TEST(PagePool, AdoptedPagesTakeNothingOfWhatWasPromised) {
  MemoryBudget budget{.limit_bytes = 100 * kPageBytes};
  Adopted adopted(budget);
  adopted.pool.promise(5);
  EXPECT_EQ(budget.promised_bytes, 5 * kPageBytes);
  std::vector<Page> pages = adopted.read();
  EXPECT_EQ(budget.promised_bytes, 5 * kPageBytes);
  pages.clear();
  EXPECT_EQ(budget.promised_bytes, 5 * kPageBytes);
}

TEST(PagePool, CopiesPagesThatNobodyOwns) {
  const std::string bytes = three_pages();
  MemoryBudget budget;
  PagePool pool(kPageBytes, budget);
  ByteReader in(bytes, "test");
  in.value<char>();
  const std::vector<Page> pages = read_pages(in, pool);
  ASSERT_EQ(pages.size(), 3u);
  EXPECT_EQ(pages[2].bytes().front(), std::byte{3});
  EXPECT_EQ(budget.used_bytes, pool.slab_bytes());
}

}  // namespace
}  // namespace dms::cache
