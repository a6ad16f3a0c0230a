#include "base/suggest.h"

#include <vector>

#include <gtest/gtest.h>

namespace dms {
namespace {

const std::vector<std::string> kOptions{
    "--max-new-tokens", "--policy", "--policy-args", "--temperature", "--top-k", "--top-p"};

TEST(EditDistance, CountsTheFewestChanges) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("abcd", "abdc"), 1);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(NearestName, FindsTheMisspeltOne) {
  EXPECT_EQ(nearest_name("--tempurature", kOptions), "--temperature");
  EXPECT_EQ(nearest_name("--max-tokens", kOptions), "--max-new-tokens");
  EXPECT_EQ(nearest_name("--topk", kOptions), "--top-k");
  EXPECT_EQ(nearest_name("--polic", kOptions), "--policy");
}

TEST(NearestName, IsTheSameInAnyCaseOfLetters) {
  EXPECT_EQ(nearest_name("--Policy", kOptions), "--policy");
  EXPECT_EQ(nearest_name("--TEMPURATURE", kOptions), "--temperature");
}

TEST(NearestName, StaysSilentWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("--frobnicate", kOptions), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace dms
