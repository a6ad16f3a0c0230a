#include "base/bounds.h"

#include <cfloat>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace dms {
namespace {

TEST(Bounds, OfIntegersLeaveOutTheEndsOfTheType) {
  EXPECT_EQ(integer_in(1, 100), "an integer, 1 to 100");
  EXPECT_EQ(integer_in(-5, INT64_MAX), "an integer, -5 or more");
  EXPECT_EQ(integer_in(INT64_MIN, 7), "an integer, at most 7");
  EXPECT_EQ(integer_in(INT64_MIN, INT64_MAX), "an integer");
  EXPECT_EQ(integer_in(0, INT32_MAX), "an integer, 0 to 2147483647");
}

TEST(Bounds, OfNumbersAreWhatAPersonWouldSay) {
  EXPECT_EQ(number_in(0, 1), "a number, 0 to 1");
  EXPECT_EQ(number_in(1e-6, 0.5), "a number, 1e-06 to 0.5");
  EXPECT_EQ(number_in(DBL_MIN, 1e9), "a number, more than 0, at most 1e+09");
  EXPECT_EQ(number_in(std::numeric_limits<double>::denorm_min(), DBL_MAX), "a number, more than 0");
  EXPECT_EQ(number_in(0, DBL_MAX), "a number, 0 or more");
  EXPECT_EQ(number_in(-DBL_MAX, 3.5), "a number, at most 3.5");
  EXPECT_EQ(
      number_in(-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()),
      "a number");
}

}  // namespace
}  // namespace dms
