// Pages of two sizes in one arena: none lies over another, all come back, and what is said to fit
// does.

#include "cuda/page_arena.h"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace dms::cuda {
namespace {

constexpr int64_t kArena = 1 << 20;
constexpr int32_t kLarge = 8192;
constexpr int32_t kSmall = 4352;

TEST(PageArena, PagesInUseLieApart) {
  PageArena arena(kArena);
  std::mt19937_64 random(1);
  std::map<PageNumber, int32_t> used;  // bytes, by page
  int64_t bytes = 0;
  for (int i = 0; i < 20000; ++i) {
    const bool takes = used.empty() || random() % 100 < (i / 4000 % 2 == 0 ? 60 : 40);
    if (takes) {
      const int32_t size = random() % 2 == 0 ? kLarge : kSmall;
      const bool fits = arena.fits({{size, 1}});
      const PageNumber page = arena.take(size);
      ASSERT_EQ(page != kNoPage, fits);
      if (!fits) continue;
      const auto next = used.lower_bound(page);
      ASSERT_TRUE(next == used.end() || int64_t{page} + size / kPageUnit <= int64_t{next->first});
      if (next != used.begin()) {
        const auto& [before, its_bytes] = *std::prev(next);
        ASSERT_LE(int64_t{before} + its_bytes / kPageUnit, int64_t{page});
      }
      ASSERT_LE(int64_t{page} * kPageUnit + size, kArena);
      used[page] = size;
      bytes += size;
    } else {
      const auto victim = std::next(used.begin(), static_cast<int64_t>(random() % used.size()));
      arena.release(victim->first);
      bytes -= victim->second;
      used.erase(victim);
    }
    ASSERT_EQ(arena.used_bytes(), bytes);
  }
  for (const auto& [page, size] : used) arena.release(page);
  EXPECT_EQ(arena.used_bytes(), 0);
  EXPECT_TRUE(arena.fits({{kLarge, arena.bytes() / kLarge}})) << "all slabs are of no size again";
}

TEST(PageArena, WhatFitsCanBeTaken) {
  PageArena arena(kArena);
  std::mt19937_64 random(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<PageNumber> taken;
    while (true) {
      const auto large = static_cast<int64_t>(random() % 9);
      const auto small = static_cast<int64_t>(random() % 9);
      if (!arena.fits({{kLarge, large}, {kSmall, small}})) break;
      for (int64_t i = 0; i < large; ++i) taken.push_back(arena.take(kLarge));
      for (int64_t i = 0; i < small; ++i) taken.push_back(arena.take(kSmall));
      ASSERT_EQ(std::ranges::count(taken, kNoPage), 0);
      if (large + small == 0) break;
    }
    for (const PageNumber page : taken) arena.release(page);
    ASSERT_EQ(arena.used_bytes(), 0);
  }
}

TEST(PageArena, AFullArenaIsFullOfPages) {
  PageArena arena(kArena);
  int64_t pages = 0;
  while (arena.take(kLarge) != kNoPage) ++pages;
  EXPECT_EQ(pages, kArena / kLarge);
  EXPECT_FALSE(arena.fits({{kSmall, 1}}));
}

TEST(PageArena, SharedPagesStayUntilAllHaveLetGo) {
  PageArena arena(kArena);
  const PageNumber page = arena.take(kSmall);
  EXPECT_FALSE(arena.is_shared(page));
  arena.share(page);
  EXPECT_TRUE(arena.is_shared(page));
  arena.release(page);
  EXPECT_FALSE(arena.is_shared(page));
  EXPECT_EQ(arena.used_bytes(), kSmall);
  arena.release(page);
  EXPECT_EQ(arena.used_bytes(), 0);
}

TEST(PageArena, APageLargerThanASlabIsNeverThere) {
  PageArena arena(kArena);
  EXPECT_FALSE(arena.fits({{1 << 21, 1}}));
  EXPECT_EQ(arena.take(1 << 21), kNoPage);
}

}  // namespace
}  // namespace dms::cuda
