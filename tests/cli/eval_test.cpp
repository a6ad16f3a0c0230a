// What `dms eval` makes of its options and results.

#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/eval_actions.h"
#include "cli/eval_policies.h"
#include "cli/eval_report.h"
#include "dms/error.h"
#include "support/errors.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

ModelSource source() {
  return ModelSource(std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo");
}

TEST(EvalPolicies, FormatsAreTheCachesAndTheModels) {
  const auto contenders = parse_contenders(
      "none,dms:kv_dtype=k=int8;v=lloyd4:window=32:weights=int8,random:cr=4:kv_exact_layers=1", {});
  ASSERT_EQ(contenders.size(), 3u);
  EXPECT_EQ(contenders[0].label, "none");
  EXPECT_EQ(contenders[1].cache.policy, "dms");
  EXPECT_EQ(contenders[1].cache.kv_dtype, "k=int8,v=lloyd4");
  EXPECT_EQ(contenders[1].cache.window_tokens, 32);
  EXPECT_EQ(contenders[1].variant.weights, "int8");
  EXPECT_THAT(contenders[1].cache.policy_args, IsEmpty());
  EXPECT_EQ(contenders[2].cache.kv_exact_layers, 1);
  EXPECT_THAT(contenders[2].cache.policy_args, ElementsAre(Pair("cr", "4")));
}

LongestTexts plan(std::vector<eval::Contender>& contenders, int64_t tokens = 1024) {
  const ModelSource model = source();
  return plan_contenders(
      [&model](const eval::Variant&) -> const ModelSource& { return model; }, contenders, tokens);
}

/// Evaluates a text of 1024 tokens by these policies.
void check(const std::string& text,
           const CacheOptions& shared = {},
           int64_t prompt = 512,
           int64_t decoded = 16) {
  const std::vector<AppendedText> texts{{.prompt = prompt, .decoded = decoded, .tokens = 1024}};
  std::vector<eval::Contender> contenders = parse_contenders(text, shared);
  plan(contenders);
  check_sizes(contenders, 1024, texts);
}

/// What that says to these policies.
std::string refusal(const std::string& text, const CacheOptions& shared = {}) {
  return testing_support::input_error([&] { check(text, shared); });
}

TEST(EvalPolicies, WhatIsWrongIsSaidOfThePolicyThatHasIt) {
  const auto expect = [](const std::string& text, std::initializer_list<std::string> parts) {
    testing_support::expect_parts(refusal(text), parts);
  };
  expect("none,streeming", {"--policies: streeming:", "unknown policy", "streaming"});
  expect("random:cr=0", {"--policies: random:cr=0:", "cr"});
  expect("random:rc=8", {"--policies: random:rc=8:", "no such argument", "cr"});
  expect("snapkv:budget=0", {"--policies: snapkv:budget=0:", "budget"});
  expect("snapkv:budget=512", {"budget", "got 512, expected 1 to 511"});
  expect("h2o:budget=1024", {"budget", "got 1024, expected 1 to 1023"});
  EXPECT_NO_THROW(check("h2o:budget=1023"));
  expect("tova:budget=1000:interval=100", {"budget", "got 1000, expected 1 to 999"});
  expect("snapkv:window_size=512", {"window_size", "got 512, expected 1 to 511"});
  expect("knorm:n_sink=5000", {"no such argument", "n_sink"});
  expect("lagkv:n_sink=512", {"n_sink", "got 512, expected 0 to 511"});
  expect("knorm:compression_ratio=0", {"compression_ratio", "above 0 and below 1"});
  expect("knorm:compression_ratio=1", {"compression_ratio", "above 0 and below 1"});
  expect("knorm:compression_ratio=1.5", {"--policies: knorm:compression_ratio=1.5:"});
  expect("streaming:window=9", {"--policies: streaming:window=9:", "no window"});
  expect("dms:window=-1", {"--policies: dms:window=-1: window: bad value"});
  expect("random:seed=-1", {"--policies: random:seed=-1: seed: bad value"});
  expect(":budget=60", {"--policies", "without a policy's name", ":budget=60"});
  expect("dms:window=100000", {"dms:window=100000: window: keeps every token", "got 100000"});
  expect("dms:window=1024", {"window: keeps every token", "got 1024, expected 0 to 1023"});
  expect("streaming:start_size=1000:recent_size=30",
         {"got recent_size 30 + start_size 1000, expected fewer than 1024 together"});
  expect("adms:recent_size=100:compressed_budget=1000", {"compressed_budget 1000"});
  expect("snapkv:budget=50%",
         {"budget",
          "got 512, expected 1 to 511",
          "of the 1024 tokens of --context, of which the first 512",
          "less than 50%, or a smaller --stride"});
  expect("snapkv:budget=0%", {"snapkv:budget=0%: budget", "above 0% and below 100%"});
  expect("snapkv:budget=100%", {"budget", "above 0% and below 100%"});
  expect("snapkv:budget=x%", {"budget", "above 0% and below 100%"});
  expect("random:cr=50%", {"random:cr=50%: cr", "bad value", "got 50%"});
  expect("streaming:recent_size=1024", {"recent_size", "got 1024, expected 0 to 1023"});
  expect("streeming:recent_size=9%", {"unknown policy", "streaming"});
  expect("none,none", {"--policies", "twice"});
  expect("none,", {"--policies"});
  expect("dms:kv_dtype=int3", {"--policies: dms:kv_dtype=int3:", "int3"});
}

TEST(EvalPolicies, WhatEvictsAsATextGrowsIsHeldToTheLastOfIt) {
  const auto expect = [](const std::string& text, int64_t decoded, const std::string& part) {
    testing_support::expect_parts(
        testing_support::input_error([&] { check(text, {}, 200, decoded); }), {part});
  };
  EXPECT_NO_THROW(check("chunked:budget=210:chunk_length=70", {}, 200, 0));
  EXPECT_NO_THROW(check("knorm:budget=979:chunk_length=70", {}, 200, 0));
  expect("knorm:budget=980:chunk_length=70", 0, "got 980, expected 1 to 979");
  EXPECT_NO_THROW(check("lagkv:n_sink=979:chunk_length=70", {}, 200, 0));
  expect("lagkv:n_sink=980:chunk_length=70", 0, "got 980, expected 0 to 979");
  EXPECT_NO_THROW(check("rkv:budget=287:interval=32", {}, 200, 100));
  expect("rkv:budget=288:interval=32", 100, "got 288, expected 1 to 287");
  expect("rkv:budget=200:interval=32", 16, "got 200, expected 1 to 199");  // none ends in it
  expect("triattention:budget=512", 400, "got 512, expected 1 to 511");
}

TEST(EvalPolicies, ALimitIsThePolicysOrTheModels) {
  std::vector<eval::Contender> contenders = parse_contenders("none,kvzip", {});
  const LongestTexts longest = plan(contenders);
  EXPECT_EQ(longest.model, 4096);
  EXPECT_EQ(longest.each.front(), 4096);
  EXPECT_LT(longest.all(), 4096 / 2);  // it repeats the text
  const auto error = [&](int64_t tokens) {
    return testing_support::input_error(
        [&] { require_length(longest, contenders, tokens, "--lengths"); });
  };
  testing_support::expect_parts(error(2100),
                                {"--policies: kvzip:", "got 2100", std::to_string(longest.all())});
  testing_support::expect_parts(error(4097), {"--lengths", "the model's", "at most 4096"});
  EXPECT_NO_THROW(require_length(longest, contenders, longest.all(), "--lengths"));
}

TEST(EvalPolicies, AWindowThatKeepsAllIsNotLeftAside) {
  CacheOptions shared;
  shared.window_tokens = 100'000;
  testing_support::expect_parts(refusal("none,dms", shared),
                                {"--policies: dms: window_tokens: keeps every token", "100000"});
}

TEST(EvalPolicies, AnAdapterMakesAModelOfItsOwn) {
  const std::string adapter = "models/somewhere";
  const auto contenders = parse_contenders("none,kvzap:adapter=" + adapter + ":threshold=-4", {});
  EXPECT_EQ(contenders[0].variant, eval::Variant{});
  EXPECT_EQ(contenders[1].variant.adapter, adapter);
  EXPECT_THAT(contenders[1].cache.policy_args, ElementsAre(Pair("threshold", "-4")));
}

TEST(EvalPolicies, NoneAloneIsTheExactCacheWhateverIsShared) {
  CacheOptions shared;
  shared.kv_dtype = "int8";
  shared.kv_exact_layers = 1;
  const auto contenders = parse_contenders("none,dms,none:kv_dtype=int4", shared);
  EXPECT_EQ(contenders[0].cache.kv_dtype, "");
  EXPECT_EQ(contenders[0].cache.kv_exact_layers, 0);
  EXPECT_EQ(contenders[1].cache.kv_dtype, "int8");
  EXPECT_EQ(contenders[1].cache.kv_exact_layers, 1);
  EXPECT_EQ(contenders[2].cache.kv_dtype, "int4");
}

TEST(EvalPolicies, WithoutAWindowLeaveTheSharedOne) {
  CacheOptions shared;
  shared.window_tokens = 99;
  std::vector<eval::Contender> contenders = parse_contenders("streaming,dms", shared);
  EXPECT_EQ(plan(contenders).all(), 4096);
  EXPECT_FALSE(contenders[0].cache.window_tokens);
  EXPECT_EQ(contenders[1].cache.window_tokens, 99);
  testing_support::expect_parts(refusal("streaming", shared), {"--window", "99"});
}

TEST(EvalPolicies, TasksAreAlwaysShownBesideTheFullCache) {
  EvalOptions options;
  ModelInfo info;
  EXPECT_EQ(policy_list_of(options, info, true), "none");
  info.dms = DmsInfo{};
  EXPECT_EQ(policy_list_of(options, info, false), "none,dms");
  options.policies = "dms,random:cr=4";
  EXPECT_EQ(policy_list_of(options, info, false), "dms,random:cr=4");
  EXPECT_EQ(policy_list_of(options, info, true), "none,dms,random:cr=4");
  options.policies = "dms,none";
  EXPECT_EQ(policy_list_of(options, info, true), "dms,none");
}

TEST(EvalReport, SaysWhichPoliciesEvictedNothing) {
  const auto row = [](const char* policy, int64_t held) {
    return OutputJson{{"policy", policy}, {"kv", {{"held_tokens", held}, {"dense_tokens", 9}}}};
  };
  testing::internal::CaptureStderr();
  note_idle_policies(
      {row("none", 9), row("h2o", 9), row("tova", 9), row("none:weights=int8", 9), row("tova", 4)},
      "policy");
  const std::string notes = testing::internal::GetCapturedStderr();
  EXPECT_THAT(notes, testing::StartsWith("dms: note: h2o: every token was held"));
  EXPECT_EQ(std::ranges::count(notes, '\n'), 1) << notes;
}

TEST(EvalReport, CsvIsFlatAndQuoted) {
  const OutputJson rows{
      {{"policy", "k=int8,v=\"x\""}, {"kld", nullptr}, {"kv", {{"cr", 1.5}, {"n", 2}}}},
      {{"policy", "none"}, {"kld", 0.25}, {"kv", {{"cr", 1.0}, {"n", 3}}}}};
  EXPECT_EQ(to_csv(rows),
            "policy,kld,kv.cr,kv.n\n"
            "\"k=int8,v=\"\"x\"\"\",,1.5,2\n"
            "none,0.25,1.0,3\n");
  EXPECT_EQ(to_csv(OutputJson::array()), "");
}

}  // namespace
}  // namespace dms::cli
