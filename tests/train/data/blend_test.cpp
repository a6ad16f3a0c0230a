#include "train/data/blend.h"

#include <map>
#include <vector>

#include <gtest/gtest.h>

namespace dms::train::data {
namespace {

TEST(Blend, TakesTheWholePartOfEachShare) {
  // 4000 * 0.5 / 1.5 = 1333.3, 4000 * 0.7 / 1.5 = 1866.6, 4000 * 0.3 / 1.5 = 800 but for rounding
  const std::vector<double> weights{0.5, 0.7, 0.3};
  const Blend blend(weights, 4000, 42);
  EXPECT_EQ(blend.samples_of(0), 1333);
  EXPECT_EQ(blend.samples_of(1), 1866);
  EXPECT_EQ(blend.samples_of(2), static_cast<int64_t>(0.3 / (0.5 + 0.7 + 0.3) * 4000));
  EXPECT_EQ(blend.size(), blend.samples_of(0) + blend.samples_of(1) + blend.samples_of(2));
  std::map<int64_t, int64_t> counts;
  for (int64_t i = 0; i < blend.size(); ++i) ++counts[blend.pick(i).dataset];
  for (const auto& [dataset, count] : counts) EXPECT_EQ(count, blend.samples_of(dataset));
}

TEST(Blend, EachDatasetAdvancesByOneOverAllPasses) {
  const std::vector<double> weights{3.0, 1.0};
  const Blend blend(weights, 40, 7);
  std::map<int64_t, int64_t> turns;
  for (int64_t i = 0; i < 5 * blend.size(); ++i) {
    const Blend::Pick pick = blend.pick(i);
    EXPECT_EQ(pick.turn, turns[pick.dataset]++) << "index " << i;
  }
}

TEST(Blend, AnyIndexHasAnAnswerOfItsOwn) {
  const std::vector<double> weights{1.0, 1.0};
  const Blend blend(weights, 10, 7);
  const Blend::Pick late = blend.pick(1'000'000'000'003);
  EXPECT_EQ(late.dataset, blend.pick(3).dataset);
  EXPECT_EQ(late.turn, 500'000'000'000 + blend.pick(3).turn);
}

TEST(Blend, OrderComesFromTheSeed) {
  const std::vector<double> weights{1.0, 1.0};
  const auto order = [&](uint64_t seed) {
    const Blend blend(weights, 100, seed);
    std::vector<int64_t> datasets;
    for (int64_t i = 0; i < blend.size(); ++i) datasets.push_back(blend.pick(i).dataset);
    return datasets;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
  EXPECT_NE(order(1), std::vector<int64_t>(100, 0));
}

TEST(Blend, WeightTooSmallForASampleGivesNone) {
  const std::vector<double> weights{1.0, 0.001};
  const Blend blend(weights, 100, 1);
  EXPECT_EQ(blend.samples_of(0), 99);
  EXPECT_EQ(blend.samples_of(1), 0);
}

}  // namespace
}  // namespace dms::train::data
