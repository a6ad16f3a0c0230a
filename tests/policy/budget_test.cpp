#include "policy/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::policy {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int64_t evicted(const std::vector<uint8_t>& plan) {
  return std::accumulate(plan.begin(), plan.end(), int64_t{0});
}

/// Keys may be infinite, or come from a file: scores that are no numbers must not upset the order.
TEST(Budget, WhatHasNoNumberForAScoreGoesFirst) {
  std::mt19937 random(1);
  for (const size_t count : {5u, 100u, 3000u}) {
    std::vector<float> scores(count);
    for (float& score : scores) score = static_cast<float>(random() % 1000);
    int64_t unknown = 0;
    for (size_t i = 0; i < count; i += 1 + random() % 5) {
      scores[i] = kNan;
      ++unknown;
    }
    for (const int64_t drop : {unknown / 2, unknown, (unknown + std::ssize(scores)) / 2}) {
      const cache::EvictionPlan plan = drop_lowest({scores}, {drop});
      EXPECT_EQ(evicted(plan[0]), drop);
      float lowest_kept = std::numeric_limits<float>::infinity();
      float highest_dropped = -lowest_kept;
      for (size_t i = 0; i < count; ++i) {
        if (std::isnan(scores[i])) {
          EXPECT_TRUE(plan[0][i] == 1 || drop < unknown);
        } else if (plan[0][i] == 1) {
          highest_dropped = std::max(highest_dropped, scores[i]);
        } else {
          lowest_kept = std::min(lowest_kept, scores[i]);
        }
      }
      EXPECT_LE(highest_dropped, lowest_kept) << count << " entries, " << drop << " go";
    }
  }
}

TEST(Tova, RefusesHeadsThatHoldDifferentTokens) {
  const PolicyPtr tova = make_policy("tova",
                                     {.layers = 1,
                                      .kv_heads = 2,
                                      .args = {{"budget", "1"}, {"interval", "1"}},
                                      .window = std::nullopt,
                                      .decisions_file = {},
                                      .trained = std::nullopt});
  cache::LayerEntries layer{.tokens = 3, .prompt_begin = 3, .heads = {}};
  layer.heads.push_back({.positions = {0, 1, 2}, .key_norms = {}, .attention = {0.2f, 0.3f, 0.5f}});
  layer.heads.push_back(layer.heads.front());
  EXPECT_EQ(evicted(tova->plan(layer, nullptr)[1]), 2);
  layer.heads.back() = {.positions = {2}, .key_norms = {}, .attention = {1.0f}};
  EXPECT_THROW(tova->plan(layer, nullptr), RunError);
}

}  // namespace
}  // namespace dms::policy
