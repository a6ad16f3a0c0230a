// How ADMS shares a layer's budget among its heads: nothing of it is lost, no head gets what it has
// no use for, and who varies more gets no less.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "policy/adms/importance.h"
#include "support/seed.h"

namespace dms::policy {
namespace {

using Importance = std::vector<std::vector<float>>;
using Counts = std::vector<int64_t>;

Counts budgets_of(const Importance& importance, int64_t total, int64_t least, const Counts& most) {
  const std::vector<std::span<const float>> heads(importance.begin(), importance.end());
  return budgets_by_variance(heads, total, least, most);
}

int64_t sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

TEST(HeadBudgets, AreInProportionToVariance) {
  const Importance importance{{1, 1, 1}, {0, 2, 4}, {1, 2, 3}};
  EXPECT_EQ(budgets_of(importance, 60, 5, Counts{99, 99, 99}), (Counts{5, 41, 14}));
  const Importance flat{{1, 1}, {2, 2}, {3}};
  EXPECT_EQ(budgets_of(flat, 62, 5, Counts{99, 99, 99}), (Counts{21, 21, 20}));
}

TEST(HeadBudgets, GiveWhatOneHeadCannotTakeToTheOthers) {
  const Importance importance{{1, 1, 1}, {0, 2, 4}, {1, 2, 3}};
  EXPECT_EQ(budgets_of(importance, 60, 5, Counts{30, 30, 30}), (Counts{5, 30, 25}));
  EXPECT_EQ(budgets_of(importance, 80, 5, Counts{30, 30, 30}), (Counts{20, 30, 30}));
  EXPECT_EQ(budgets_of(importance, 99, 5, Counts{30, 3, 30}), (Counts{30, 3, 30}));
  EXPECT_EQ(budgets_of(importance, 9, 5, Counts{0, 0, 0}), (Counts{0, 0, 0}));
}

/// Of as many heads and entries as it draws, some alike, some without variance.
Importance random_importance(std::mt19937_64& random) {
  std::uniform_int_distribution<int> count(0, 20);
  std::normal_distribution<float> normal;
  Importance importance(std::uniform_int_distribution<size_t>(1, 9)(random));
  for (std::vector<float>& head : importance) {
    const float scale = std::exp(4.0f * normal(random));
    for (int i = count(random); i > 0; --i) head.push_back(scale * normal(random));
    if (count(random) < 3) std::ranges::fill(head, scale);
    if (count(random) < 3) head = importance.front();
  }
  return importance;
}

/// By all pairs' differences.
double variance(const std::vector<float>& x) {
  double squares = 0;
  for (const float a : x) {
    for (const float b : x) squares += (static_cast<double>(a) - b) * (static_cast<double>(a) - b);
  }
  return x.empty() ? 0 : squares / static_cast<double>(2 * x.size() * x.size());
}

TEST(HeadBudgets, SumUpAndStayWithinTheirLimits) {
  std::mt19937_64 random(testing_support::seed());
  const auto up_to = [&](int64_t most) {
    return std::uniform_int_distribution<int64_t>(0, most)(random);
  };
  for (int round = 0; round < 5000; ++round) {
    const Importance importance = random_importance(random);
    const auto heads = std::ssize(importance);
    Counts most(importance.size(), up_to(300));
    if (round % 2 == 0) std::ranges::generate(most, [&] { return up_to(300); });
    const int64_t total = up_to(round % 3 == 0 ? heads * 300 : 12);
    const int64_t least = up_to(8);
    const Counts budgets = budgets_of(importance, total, least, most);
    ASSERT_EQ(std::ssize(budgets), heads);
    ASSERT_EQ(sum(budgets), std::min(total, sum(most))) << "round " << round;
    for (size_t i = 0; i < budgets.size(); ++i) {
      ASSERT_LE(budgets[i], most[i]) << "round " << round;
      ASSERT_GE(budgets[i], std::min({least, sum(budgets) / heads, most[i]})) << "round " << round;
      for (size_t j = 0; j < budgets.size(); ++j) {
        const bool varies_more = variance(importance[i]) > 1.001 * variance(importance[j]);
        if (!varies_more || most[i] < most[j]) continue;
        ASSERT_GE(budgets[i], budgets[j]) << "round " << round << ", heads " << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace dms::policy
