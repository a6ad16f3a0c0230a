#include "cache/sequence_cache.h"

#include <cstring>
#include <random>
#include <utility>

#include <gtest/gtest.h>

#include "cache/cache_model.h"
#include "dms/error.h"
#include "support/seed.h"

namespace dms::cache {
namespace {

using kernels::KvFormat;
using testing_support::seed;

std::vector<CacheCase> cases() {
  std::vector<CacheCase> all;
  for (const int64_t window : {0, 1, 8, 31, 32, 33, 64, 100}) {
    for (const int64_t shift : {0, 1}) {
      for (const double share : {0.0, 0.5, 0.9, 1.0}) {
        all.push_back({.window = window, .shift = shift, .evict_share = share});
      }
    }
    all.push_back({.window = window, .sliding_window = 50});
    all.push_back({.window = window, .shift = 1, .sliding_window = 7});
    all.push_back({.window = window, .survivor_format = KvFormat::f32});
    for (const double share : {0.0, 0.5}) {
      all.push_back({.window = window, .evict_share = share, .window_format = KvFormat::f32});
    }
    all.push_back(
        {.layers = 3, .window = window, .window_format = KvFormat::f32, .exact_layers = 1});
  }
  return all;
}

/// Of every test's heads.
int64_t page_bytes(const kernels::PageFormat& format) {
  return kernels::KvPageLayout{.format = format, .head_dim = 3}.bytes();
}

std::shared_ptr<CachePools> make_pools(int64_t limit_bytes = 0) {
  return std::make_shared<CachePools>(limit_bytes);
}

class EveryCase : public testing::TestWithParam<CacheCase> {};

TEST_P(EveryCase, ShowsEachQueryWhatTheRuleSaysWhateverTheChunking) {
  const CacheCase c = GetParam();
  for (const int64_t chunk : {1, 7, 31, 32, 33, 64, 200}) {
    const auto pools = make_pools();
    CacheModel model(c, pools, seed());
    while (model.tokens() < 200) {
      model.append(model.make_tokens(std::min<int64_t>(chunk, 200 - model.tokens())));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryCase, StaysRightOverTurnsRollbacksAndForks) {
  const CacheCase c = GetParam();
  const auto pools = make_pools();
  std::mt19937_64 random(seed());
  std::vector<CacheModel> models;
  models.emplace_back(c, pools, seed());
  for (int64_t turn = 0; turn < 40; ++turn) {
    CacheModel& model = models[random() % models.size()];
    const uint64_t action = random() % 8;
    if (action < 5) {
      model.append(model.make_tokens(static_cast<int64_t>(random() % 40) + 1));
    } else if (action == 5) {
      const int64_t back = static_cast<int64_t>(random() % 33);
      const int64_t to = std::max<int64_t>(model.tokens() - back, 0);
      if (to >= model.rollback_floor()) {
        EXPECT_TRUE(model.cache().can_truncate(to))
            << c.text() << ": rolling back " << back << " of " << model.tokens();
      }
      model.truncate(to);
    } else if (action == 6 && model.tokens() > 0) {
      model.truncate(static_cast<int64_t>(random() % static_cast<uint64_t>(model.tokens())));
    } else if (models.size() < 4) {
      CacheModel copy = model.fork(random());
      models.push_back(std::move(copy));
    }
    if (HasFatalFailure()) return;
  }
  models.clear();
  EXPECT_EQ(pools->pool(page_bytes(c.window_format)).pages_in_use(), 0);
  EXPECT_EQ(pools->pool(page_bytes(c.survivor_format)).pages_in_use(), 0);
}

TEST_P(EveryCase, APassThatMayBeginFindsItsMemory) {
  const CacheCase c = GetParam();
  const auto pools = make_pools(90 * page_bytes(c.window_format));
  std::mt19937_64 random(seed());
  std::vector<CacheModel> models;
  for (int64_t i = 0; i < 3; ++i) models.emplace_back(c, pools, random());
  int64_t refused = 0;
  for (int64_t turn = 0; turn < 60; ++turn) {
    CacheModel& model = models[random() % 3];
    if (random() % 3 == 0) {
      model.truncate(
          std::max(model.tokens() - static_cast<int64_t>(random() % 33), model.rollback_floor()));
    }
    if (random() % 3 == 0) model = models[random() % 3].fork(random());
    std::vector<Growth> growth;
    std::vector<CacheModel::Part> parts;
    for (CacheModel& each : models) {
      parts.emplace_back(&each, each.make_tokens(static_cast<int64_t>(random() % 80) + 1));
      growth.push_back({.cache = &each.cache(), .tokens = std::ssize(parts.back().second)});
    }
    if (!reserve_memory(growth)) {
      ++refused;
      model = CacheModel(c, pools, random());
      continue;
    }
    ASSERT_NO_THROW(CacheModel::append_together(parts, false)) << c.text() << " turn " << turn;
    ASSERT_LE(pools->budget().used_bytes, pools->budget().limit_bytes) << c.text();
  }
  if (c.evict_share == 0.0) {
    EXPECT_GT(refused, 0) << "the limit is never met";
  }
}

std::string case_name(const testing::TestParamInfo<CacheCase>& info) {
  return "case" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(SequenceCache, EveryCase, testing::ValuesIn(cases()), case_name);

TEST(SequenceCache, GivesTheMemoryOfEvictedTokensBack) {
  const CacheCase dense{.window = 32, .evict_share = 0.0};
  const CacheCase sparse{.window = 32, .evict_share = 1.0};
  int64_t pages[2] = {};
  for (const bool evicts : {false, true}) {
    const CacheCase& c = evicts ? sparse : dense;
    const auto pools = make_pools();
    CacheModel model(c, pools, seed());
    for (int i = 0; i < 40; ++i) model.append(model.make_tokens(32));
    pages[evicts ? 1 : 0] = pools->pool(page_bytes(KvFormat::bf16)).pages_in_use();
  }
  EXPECT_EQ(pages[0], 4 * 40);  // all tokens of 2 layers x 2 heads
  EXPECT_LE(pages[1], 4 * 3);   // window + slack
}

TEST(SequenceCache, RefusesToGrowBeyondTheLimitAndKeepsItsState) {
  const CacheCase c{.layers = 1, .kv_heads = 1, .window = 32, .evict_share = 0.0};
  const auto pools = make_pools(20 * page_bytes(KvFormat::bf16));
  CacheModel model(c, pools, seed());
  const auto has_room = [&model](int64_t tokens) {
    const std::vector<Growth> growth{{.cache = &model.cache(), .tokens = tokens}};
    return reserve_memory(growth);
  };
  while (has_room(8)) model.append(model.make_tokens(8));
  EXPECT_GT(model.tokens(), 18 * 32) << "room is left unused";
  EXPECT_LE(pools->budget().used_bytes, 20 * page_bytes(KvFormat::bf16));
  EXPECT_FALSE(has_room(64));
  model.truncate(10);
  model.append(model.make_tokens(8));
}

TEST(SequenceCache, PreallocatesWhatItWillNeed) {
  const CacheCase c{.window = 32};
  const auto pools = make_pools();
  CacheModel model(c, pools, seed());
  model.cache().preallocate(500);
  const int64_t slabs = pools->pool(page_bytes(KvFormat::bf16)).slab_bytes();
  EXPECT_GT(slabs, 0);
  for (int i = 0; i < 10; ++i) model.append(model.make_tokens(32));
  EXPECT_EQ(pools->pool(page_bytes(KvFormat::bf16)).slab_bytes(), slabs);
}

TEST(PagePool, CountsFreeAndUsedPages) {
  MemoryBudget budget;
  PagePool pool(4096, budget);
  std::mt19937_64 random(seed());
  std::vector<Page> held;
  for (int i = 0; i < 2000; ++i) {
    if (random() % 3 != 0 || held.empty()) {
      held.push_back(pool.allocate());
    } else {
      std::swap(held[random() % held.size()], held.back());
      held.pop_back();
    }
    ASSERT_EQ(pool.pages_in_use(), std::ssize(held));
    ASSERT_EQ(pool.slab_bytes(), (pool.pages_in_use() + pool.free_pages()) * 4096);
    ASSERT_EQ(budget.used_bytes, pool.slab_bytes());
  }
  const int64_t peak = budget.used_bytes;
  held.clear();
  EXPECT_LT(budget.used_bytes, peak / 4);
  EXPECT_GE(budget.peak_bytes, peak);
}

TEST(PagePool, PacksWhatIsScattered) {
  MemoryBudget budget;
  PagePool pool(4096, budget);
  std::mt19937_64 random(seed());
  std::vector<Page> held;
  std::vector<int> marks;
  {
    std::vector<Page> all;
    for (int i = 0; i < 1000; ++i) {
      all.push_back(pool.allocate());
      std::memcpy(all.back().bytes().data(), &i, sizeof i);
      if (random() % 8 != 0) continue;
      held.push_back(all.back().share());
      marks.push_back(i);
    }
  }
  const Page shared = held.front().share();
  const int64_t pages = std::ssize(held);
  ASSERT_EQ(pool.pages_in_use(), pages);
  EXPECT_TRUE(pool.is_sparse());
  EXPECT_GT(pool.slab_bytes(), 4 * pages * 4096) << "hardly a slab is empty";
  pool.begin_packing();
  pool.pack(held);
  pool.end_packing();
  EXPECT_LT(pool.slab_bytes(), 2 * pages * 4096);
  EXPECT_EQ(pool.pages_in_use(), pages);
  EXPECT_EQ(pool.slab_bytes(), (pages + pool.free_pages()) * 4096);
  EXPECT_EQ(budget.used_bytes, pool.slab_bytes());
  EXPECT_EQ(shared.bytes().data(), std::as_const(held.front()).bytes().data());
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(std::memcmp(std::as_const(held[i]).bytes().data(), &marks[i], sizeof(int)), 0) << i;
  }
  const int64_t free_pages = pool.free_pages();
  for (int64_t i = 0; i < free_pages; ++i) held.push_back(pool.allocate());
  EXPECT_EQ(pool.slab_bytes(), pool.pages_in_use() * 4096) << "every hole can be filled";
}

TEST(PagePool, SharesPagesByCounting) {
  MemoryBudget budget;
  PagePool pool(4096, budget);
  Page page = pool.allocate();
  {
    const Page other = page.share();
    EXPECT_TRUE(page.is_shared());
    EXPECT_EQ(pool.pages_in_use(), 1);
  }
  EXPECT_FALSE(page.is_shared());
  page = Page();
  EXPECT_EQ(pool.pages_in_use(), 0);
}

}  // namespace
}  // namespace dms::cache
