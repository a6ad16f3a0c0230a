#include "report/number_format.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace dms::report {
namespace {

TEST(ShortNumber, IsReadAtAGlance) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.0001, 4), "0.0001");
  EXPECT_EQ(short_number(0.000105, 4), "1.05e-4");
  EXPECT_EQ(short_number(0.0001234, 4), "1.234e-4");
  EXPECT_EQ(short_number(3.0e-5, 4), "3e-5");
  EXPECT_EQ(short_number(0.01234), "0.0123");
  EXPECT_EQ(short_number(0.1 + 0.2), "0.3");
  EXPECT_EQ(short_number(2.5), "2.5");
  EXPECT_EQ(short_number(123.456), "123");
  EXPECT_EQ(short_number(1234.5), "1234");
  EXPECT_EQ(short_number(9999), "9999");
  EXPECT_EQ(short_number(12345), "12.3k");
  EXPECT_EQ(short_number(999499), "999k");
  EXPECT_EQ(short_number(4.5e6), "4.5M");
  EXPECT_EQ(short_number(7e9), "7G");
  EXPECT_EQ(short_number(3e-5), "3e-5");
  EXPECT_EQ(short_number(1.5e-10), "1.5e-10");
  EXPECT_EQ(short_number(1e20), "1e20");
  EXPECT_EQ(short_number(-0.5), "-0.5");
  EXPECT_EQ(short_number(std::nan("")), "nan");
  EXPECT_EQ(short_number(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(short_number(0.08125, 4), "0.08125");
}

TEST(ShortDuration, HasTwoUnits) {
  EXPECT_EQ(short_duration(0), "0s");
  EXPECT_EQ(short_duration(59.4), "59s");
  EXPECT_EQ(short_duration(59.6), "1m00s");
  EXPECT_EQ(short_duration(725), "12m05s");
  EXPECT_EQ(short_duration(3600), "1h00m");
  EXPECT_EQ(short_duration(3725), "1h02m");
  EXPECT_EQ(short_duration(86400 * 3 + 3600 * 4), "3d04h");
  EXPECT_EQ(short_duration(-1), "?");
  EXPECT_EQ(short_duration(std::nan("")), "?");
  EXPECT_EQ(short_duration(1e300), "?");
}

}  // namespace
}  // namespace dms::report
