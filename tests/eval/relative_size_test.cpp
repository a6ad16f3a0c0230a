// Sizes that are shares of a text.

#include "eval/relative_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::eval {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(RelativeSize, IsRoundedToTokensOfEachLength) {
  const CacheOptions cache{.policy = "snapkv",
                           .policy_args = {{"budget", "12.5%"}, {"window_size", "64"}}};
  EXPECT_THAT(sized_for(cache, 1000).policy_args,
              ElementsAre(Pair("budget", "125"), Pair("window_size", "64")));
  EXPECT_EQ(sized_for(cache, 1004).policy_args["budget"], "126");  // of 125.5
  EXPECT_EQ(sized_for(cache, 3).policy_args["budget"], "1");       // of 0.375
}

TEST(RelativeSize, IsANumberBetweenNothingAndAll) {
  for (const char* good : {"12.5%", "0.1%", "99.9%"}) EXPECT_TRUE(is_valid_share(good)) << good;
  for (const char* bad : {"%", "0%", "100%", "-5%", "1e3%", "5%%", "a%", "5 %", "nan%", "5"}) {
    EXPECT_FALSE(is_valid_share(bad)) << bad;
  }
}

}  // namespace
}  // namespace dms::eval
