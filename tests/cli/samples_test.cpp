#include "cli/samples.h"

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

TEST(Samples, MedianOfEvenAndOddCounts) {
  EXPECT_DOUBLE_EQ((Samples{{3, 1, 2}}).median(), 2);
  EXPECT_DOUBLE_EQ((Samples{{4, 1, 2, 3}}).median(), 2.5);
}

TEST(Samples, JsonIsNullWhereNothingWasMeasured) {
  EXPECT_EQ(Samples{}.json().dump(), R"({"median":null,"min":null,"max":null,"n":0})");
  EXPECT_EQ((Samples{{2, 1}}).json().dump(), R"({"median":1.5,"min":1.0,"max":2.0,"n":2})");
}

TEST(Samples, PercentileIsAValueThatSoManyDoNotExceed) {
  Samples hundred;
  for (int i = 100; i > 0; --i) hundred.values.push_back(i);
  EXPECT_DOUBLE_EQ(hundred.percentile(99), 99);
  EXPECT_DOUBLE_EQ(hundred.percentile(100), 100);
  EXPECT_DOUBLE_EQ((Samples{{7}}).percentile(99), 7);
  EXPECT_DOUBLE_EQ((Samples{{3, 1, 2}}).percentile(99), 3);
  EXPECT_EQ(Samples{}.tail_json().dump(), R"({"median":null,"p99":null})");
}

}  // namespace
}  // namespace dms::cli
