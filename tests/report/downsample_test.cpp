#include "report/downsample.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace dms::report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> steps_to(int64_t count) {
  std::vector<double> steps(static_cast<size_t>(count));
  std::iota(steps.begin(), steps.end(), 1.0);
  return steps;
}

TEST(Downsample, AShortRunStaysAsItIs) {
  const std::vector<double> values{3, 1, 2};
  const std::vector<Stroke> strokes = downsample(steps_to(3), values, 3);
  ASSERT_EQ(strokes.size(), 1u);
  ASSERT_EQ(strokes[0].size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(strokes[0][i].step, static_cast<double>(i) + 1);
    EXPECT_EQ(strokes[0][i].mean, values[i]);
    EXPECT_EQ(strokes[0][i].min, values[i]);
    EXPECT_EQ(strokes[0][i].max, values[i]);
  }
}

TEST(Downsample, ALongRunKeepsMeansAndSpikes) {
  for (const int64_t count : {401, 799, 800, 801, 100'003}) {
    std::vector<double> values(static_cast<size_t>(count), 1.0);
    values[static_cast<size_t>(count / 2)] = 100.0;
    const std::vector<Stroke> strokes = downsample(steps_to(count), values, 400);
    ASSERT_EQ(strokes.size(), 1u);
    EXPECT_LE(strokes[0].size(), 400u);
    EXPECT_GE(strokes[0].size(), 200u);
    double largest = 0;
    for (const Point& point : strokes[0]) {
      largest = std::max(largest, point.max);
      EXPECT_LE(point.min, point.mean);
      EXPECT_LE(point.mean, point.max);
    }
    EXPECT_EQ(largest, 100.0);
  }
}

TEST(Downsample, MeansAreThoseOfTheirStretch) {
  const std::vector<Stroke> strokes =
      downsample(steps_to(5), std::vector{1.0, 2.0, 3.0, kNan, 7.0}, 3);
  ASSERT_EQ(strokes.size(), 1u);
  ASSERT_EQ(strokes[0].size(), 3u);
  EXPECT_EQ(strokes[0][0].step, 1.5);
  EXPECT_EQ(strokes[0][0].mean, 1.5);
  EXPECT_EQ(strokes[0][1].step, 3);
  EXPECT_EQ(strokes[0][1].mean, 3);
  EXPECT_EQ(strokes[0][2].step, 5);
}

TEST(Downsample, AGapEndsTheStroke) {
  const std::vector<double> values{
      kNan, 1, 2, kNan, kNan, 3, std::numeric_limits<double>::infinity()};
  const std::vector<Stroke> strokes = downsample(steps_to(7), values, 100);
  ASSERT_EQ(strokes.size(), 2u);
  EXPECT_EQ(strokes[0].size(), 2u);
  EXPECT_EQ(strokes[1].size(), 1u);
  EXPECT_TRUE(downsample({}, {}, 100).empty());
  EXPECT_TRUE(downsample(steps_to(2), std::vector{kNan, kNan}, 100).empty());
}

}  // namespace
}  // namespace dms::report
