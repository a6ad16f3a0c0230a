#include "cli/bench_policy.h"

#include <filesystem>

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

ModelSource source() {
  const std::filesystem::path folder(DMS_SOURCE_DIR);
  return ModelSource(folder / "models" / "demo");
}

std::vector<BenchPolicy> planned(const std::string& text, const CacheOptions& shared) {
  std::vector<BenchPolicy> policies = parse_bench_policies(text, shared);
  plan_policies(source(), policies);
  return policies;
}

TEST(BenchPolicies, InAListTheWindowIsForThoseThatTakeIt) {
  CacheOptions shared;
  shared.window_tokens = 99;
  const auto policies = planned("none,streaming,random:window=7,dms", shared);
  EXPECT_FALSE(policies[0].cache.window_tokens);
  EXPECT_FALSE(policies[1].cache.window_tokens);
  EXPECT_FALSE(policies[2].cache.window_tokens);
  EXPECT_EQ(policies[3].cache.window_tokens, 99);
  EXPECT_EQ(policies[1].plan.window_tokens, 2000);
  EXPECT_EQ(policies[2].plan.window_tokens, 7);
  EXPECT_EQ(policies[3].plan.window_tokens, 99);
  shared.kv_dtype = "f32";
  EXPECT_EQ(planned("none,dms", shared)[0].cache.window_tokens, 99);
}

TEST(BenchPolicies, AWindowThatNoneTakesIsRefused) {
  CacheOptions shared;
  shared.window_tokens = 99;
  EXPECT_THROW(planned("none", shared), InputError);
  EXPECT_THROW(planned("none,streaming", shared), InputError);
  shared.window_tokens = (int64_t{1} << 30) + 1;
  EXPECT_THROW(planned("none,random", shared), InputError);
}

TEST(BenchPolicies, WhatElseIsWrongIsRefused) {
  EXPECT_THROW(planned("none,oracle", {}), InputError);
  EXPECT_THROW(planned("none,random:cr=0", {}), InputError);
}

}  // namespace
}  // namespace dms::cli
