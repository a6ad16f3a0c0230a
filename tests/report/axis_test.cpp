#include "report/axis.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::report {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> texts;
  for (const Tick& tick : axis.ticks) texts.push_back(tick.label);
  return texts;
}

Axis axis_of(const std::vector<double>& values, const AxisOptions& options = {}) {
  return make_axis(values, options).value();
}

TEST(Axis, LinearTicksAreRoundNumbers) {
  EXPECT_THAT(labels(axis_of({2.1, 4.8})), ElementsAre("2", "3", "4", "5"));
  EXPECT_THAT(labels(axis_of({0, 0.3})), ElementsAre("0", "0.1", "0.2", "0.3"));
  EXPECT_THAT(labels(axis_of({-1, 1})), ElementsAre("-1", "-0.5", "0", "0.5", "1"));
  EXPECT_THAT(labels(axis_of({0, 3e-5})), ElementsAre("0", "1e-5", "2e-5", "3e-5"));
}

TEST(Axis, StepsAreWholeNumbersAndTight) {
  const Axis axis = axis_of({1, 2, 3, 544}, {.is_integer = true, .is_tight = true, .ticks = 6});
  EXPECT_EQ(axis.min, 1);
  EXPECT_EQ(axis.max, 544);
  EXPECT_THAT(labels(axis), ElementsAre("100", "200", "300", "400", "500"));
  EXPECT_THAT(labels(axis_of({1, 3}, {.is_integer = true, .is_tight = true, .ticks = 6})),
              ElementsAre("1", "2", "3"));
}

TEST(Axis, IsLogarithmicOnlyWhereValuesAskForIt) {
  EXPECT_TRUE(axis_of({0.001, 1}, {.may_be_log = true}).is_log);
  EXPECT_FALSE(axis_of({0.001, 1}).is_log);
  EXPECT_FALSE(axis_of({0.1, 1}, {.may_be_log = true}).is_log);
  EXPECT_FALSE(axis_of({-0.001, 1}, {.may_be_log = true}).is_log);
  EXPECT_TRUE(axis_of({0, 0.001, 1}, {.may_be_log = true}).is_log);
  const Axis axis = axis_of({0.001, 1}, {.may_be_log = true});
  EXPECT_THAT(labels(axis), ElementsAre("0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"));
  EXPECT_NEAR(axis.place(0.03162) - axis.place(0.01), axis.place(1) - axis.place(0.3162), 1e-3);
}

TEST(Axis, ALogarithmicOneMayHaveAPlaceForZero) {
  const AxisOptions options{.may_be_log = true, .shows_zero = true};
  const Axis axis = axis_of({0, 0.001, 1}, options);
  EXPECT_THAT(labels(axis), ElementsAre("0", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"));
  EXPECT_EQ(axis.place(0), kZeroPlace);
  EXPECT_EQ(axis.place(axis.min), kLeastPlace);
  EXPECT_EQ(axis.place(axis.max), 1);
  EXPECT_FALSE(axis_of({0.001, 1}, options).has_zero);
  EXPECT_FALSE(axis_of({0, 1, 2}, options).has_zero);
}

TEST(Axis, AFirstValueNearZeroDoesNotFlattenTheOthers) {
  const Axis axis = axis_of({1e-300, 0.5, 1}, {.may_be_log = true});
  EXPECT_GT(axis.min, 1e-7);
  EXPECT_EQ(axis.place(1e-300), 0);
  EXPECT_EQ(axis.place(0), 0);
}

TEST(Axis, OneValueHasRoomAround) {
  for (const double value : {0.0, 2.5, -3.0, 1e-30, 1e99}) {
    const Axis axis = axis_of({value});
    EXPECT_LT(axis.min, value);
    EXPECT_GT(axis.max, value);
    EXPECT_FALSE(axis.ticks.empty());
  }
}

TEST(Axis, PassesOverWhatCannotBeDrawn) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(make_axis({}, {}).has_value());
  EXPECT_FALSE(make_axis(std::vector{std::nan(""), inf, -inf, 1e300}, {}).has_value());
  const Axis axis = axis_of({std::nan(""), 1, 1e300, 2, inf});
  EXPECT_EQ(axis.min, 1);
  EXPECT_EQ(axis.max, 2);
}

TEST(Axis, TicksAreFewOrderedAndInside) {
  std::mt19937_64 random(testing_support::seed());
  std::uniform_real_distribution<double> exponent(-30, 30);
  std::uniform_real_distribution<double> share(-1, 1);
  for (int trial = 0; trial < 2000; ++trial) {
    const double scale = std::pow(10.0, exponent(random));
    const std::vector<double> values{share(random) * scale, share(random) * scale};
    const Axis axis = axis_of(values, {.may_be_log = true});
    SCOPED_TRACE(testing::Message() << values[0] << " " << values[1]);
    ASSERT_GE(axis.ticks.size(), 2u);
    ASSERT_LE(axis.ticks.size(), 12u);
    for (size_t i = 0; i < axis.ticks.size(); ++i) {
      EXPECT_GE(axis.place(axis.ticks[i].value), 0);
      EXPECT_LE(axis.place(axis.ticks[i].value), 1);
      if (i > 0) {
        EXPECT_LT(axis.ticks[i - 1].value, axis.ticks[i].value);
      }
    }
    for (const double value : values) {
      EXPECT_GE(value, axis.min * (1 + 1e-9) - 1e-9 * scale);
      EXPECT_LE(value, axis.max + 1e-9 * scale);
    }
  }
}

}  // namespace
}  // namespace dms::report
