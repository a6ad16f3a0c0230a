#include "cli/bench_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

CacheOptions shared_options() {
  CacheOptions options;
  options.policy_args = {{"cr", "4"}};
  return options;
}

TEST(BenchPolicies, SharedSettingsGoToAllButNone) {
  const auto policies = parse_bench_policies("none,random", shared_options());
  ASSERT_EQ(policies.size(), 2u);
  EXPECT_EQ(policies[0].cache.policy, "none");
  EXPECT_THAT(policies[0].cache.policy_args, IsEmpty());
  EXPECT_EQ(policies[1].cache.policy, "random");
  EXPECT_THAT(policies[1].cache.policy_args, ElementsAre(Pair("cr", "4")));
}

TEST(BenchPolicies, OwnSettingsReplaceTheSharedOnes) {
  const auto policies = parse_bench_policies("random:cr=8:window=64", shared_options());
  ASSERT_EQ(policies.size(), 1u);
  EXPECT_EQ(policies[0].label, "random:cr=8:window=64");
  EXPECT_THAT(policies[0].cache.policy_args, ElementsAre(Pair("cr", "8"), Pair("window", "64")));
  EXPECT_THROW(parse_bench_policies("random:cr", shared_options()), InputError);
}

TEST(BenchPolicies, InAListTheWindowIsForThoseThatHaveOne) {
  CacheOptions shared;
  shared.window_tokens = 99;
  const auto policies = parse_bench_policies("none,streaming,random:window=7,dms", shared);
  EXPECT_FALSE(policies[0].cache.window_tokens);
  EXPECT_FALSE(policies[1].cache.window_tokens);
  EXPECT_FALSE(policies[2].cache.window_tokens);
  EXPECT_EQ(policies[3].cache.window_tokens, 99);
  EXPECT_EQ(parse_bench_policies("none", shared)[0].cache.window_tokens, 99) << "to be refused";
  shared.kv_dtype = "bf16";
  EXPECT_EQ(parse_bench_policies("none,dms", shared)[0].cache.window_tokens, 99);
}

TEST(ExactTokens, ComeFromOptionArgumentModelOrDefault) {
  ModelInfo info;
  CacheOptions cache;
  EXPECT_EQ(exact_tokens(cache, info), 256);
  info.dms.emplace().window = 512;
  EXPECT_EQ(exact_tokens(cache, info), 512);
  cache.policy_args = {{"window", "100"}};
  EXPECT_EQ(exact_tokens(cache, info), 100);
  cache.window_tokens = 7;
  EXPECT_EQ(exact_tokens(cache, info), 7);
  cache.policy = "streaming";
  EXPECT_EQ(exact_tokens(cache, info), 2000);
}

}  // namespace
}  // namespace dms::cli
