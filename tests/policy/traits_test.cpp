// What is said of policies before they are made, against what those that were made do.

#include <gtest/gtest.h>

#include "dms/error.h"
#include "dms/policy_traits.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

using Args = std::map<std::string, std::string>;

PolicyPtr made(std::string_view name, const Args& args) {
  PolicyRequest request;
  request.layers = 2;
  request.kv_heads = 2;
  request.q_heads = 4;
  request.head_dim = 8;
  request.args = args;
  request.trained = TrainedEviction{};
  request.scored = ScoredEviction{};
  request.rotations = Rotations(
      [](int64_t, int64_t) {
        return std::make_shared<const Rotation>(Rotation{.frequencies = {1.0f, 0.1f}});
      },
      2);
  return make_policy(name, request);
}

/// The most tokens that a cut of `policy` ranks, token by token; 0: no cut comes.
int64_t most_ranked(const cache::Policy& policy, const AppendedText& text, bool is_ratio) {
  int64_t most = 0;
  int64_t cut = 0;
  for (int64_t token = 1; token <= text.tokens; ++token) {
    const bool is_decoded = token > text.prompt && token <= text.prompt + text.decoded;
    const int64_t interval = is_decoded ? policy.interval() : policy.prompt_interval();
    const bool is_end = token == text.prompt && policy.plans_at_prompt_end();
    if (!is_end && (interval == 0 || token % interval != 0)) continue;
    most = std::max(most, token - (is_ratio ? policy.first_ranked(cut) : 0));
    cut = token;
  }
  return most;
}

struct Case {
  const char* policy;
  Args args;
};

TEST(PolicyTraits, ATextIsCutWhereThePolicyCutsIt) {
  const std::vector<Case> cases{{"knorm", {}},
                                {"knorm", {{"budget", "9"}}},
                                {"rkv", {{"budget", "9"}, {"interval", "7"}}},
                                {"keydiff", {{"budget", "9"}, {"interval", "50"}}},
                                {"lagkv", {{"budget", "9"}, {"chunk_length", "30"}}},
                                {"compactor", {{"chunk_length", "13"}}},
                                {"compactor", {{"sink_size_start", "9"}, {"chunk_length", "13"}}},
                                {"lagkv", {{"n_sink", "9"}}},
                                {"chunked", {{"base", "keydiff"}}},
                                {"chunked", {{"base", "keydiff"}, {"chunk_length", "70"}}},
                                {"chunked", {{"base", "keydiff"}, {"chunk_length", "101"}}},
                                {"chunked", {{"budget", "99"}, {"chunk_length", "66"}}},
                                {"tova", {}},
                                {"h2o", {{"interval", "9"}}},
                                {"triattention", {{"interval", "9"}}},
                                {"triattention", {}}};
  const std::vector<AppendedText> texts{{.prompt = 100, .decoded = 0, .tokens = 200},
                                        {.prompt = 100, .decoded = 40, .tokens = 200},
                                        {.prompt = 60, .decoded = 999, .tokens = 150},
                                        {.prompt = 29, .decoded = 16, .tokens = 129},
                                        {.prompt = 200, .decoded = 0, .tokens = 200},
                                        {.prompt = 1000, .decoded = 100, .tokens = 3000}};
  for (const Case& c : cases) {
    for (const AppendedText& text : texts) {
      const PolicyPtr policy = made(c.policy, c.args);
      // A budget and first tokens are of all that a cut finds.
      const bool is_of_text = c.args.contains("budget") || c.args.contains("n_sink") ||
                              c.args.contains("sink_size_start");
      const int64_t most = most_ranked(*policy, text, !is_of_text);
      EXPECT_EQ(compressed_tokens({.policy = c.policy, .policy_args = c.args}, text),
                most > 0 ? most : text.tokens)
          << c.policy << " " << testing::PrintToString(c.args) << " " << text.prompt << " "
          << text.decoded << " " << text.tokens;
    }
  }
}

TEST(PolicyTraits, PromptsThatCountForNothingAreNotRanked) {
  CacheOptions cache{.policy = "triattention", .policy_args = {{"interval", "10"}}};
  const AppendedText text{.prompt = 25, .decoded = 20, .tokens = 60};
  EXPECT_EQ(compressed_tokens(cache, text), 40);
  cache.policy_args["count_prompt_tokens"] = "false";
  EXPECT_EQ(compressed_tokens(cache, text), 15);
}

TEST(PolicyTraits, EachPolicyRanksAsItsLineSays) {
  for (const std::string_view name : policy_names()) {
    if (name == "forced") continue;  // needs a file
    for (const Args& args : std::vector<Args>{
             {}, {{"threshold", "-1"}}, {{"base", "knorm"}, {"chunk_length", "30"}}}) {
      PolicyPtr policy;
      try {
        policy = made(name, args);
      } catch (const InputError&) {
        EXPECT_FALSE(args.empty()) << name;
        continue;
      }
      const bool holds_all = policy->plans() && !policy->digests() && !policy->plans_by_chunk();
      const CacheOptions cache{.policy = std::string(name), .policy_args = args};
      EXPECT_EQ(holds_all_between_rankings(cache), holds_all)
          << name << " " << testing::PrintToString(args);
      // Without a plan it evicts as tokens leave.
      const AppendedText text{.prompt = 100, .decoded = 0, .tokens = 3000};
      if (!policy->plans()) {
        EXPECT_EQ(compressed_tokens(cache, text), 3000) << name;
      }
    }
  }
}

TEST(PolicyTraits, AnAdapterIsOfUseWhereItIsRead) {
  const auto part = [](const char* policy, Args args) {
    return adapter_part_of({.policy = policy, .policy_args = std::move(args)});
  };
  for (const char* policy : {"dms", "kvzap", "forced", "random"}) {
    EXPECT_EQ(part(policy, {}), AdapterPart::eviction) << policy;
  }
  EXPECT_EQ(part("knorm", {{"threshold", "-1"}}), AdapterPart::eviction);  // the window
  EXPECT_EQ(part("triattention", {}), AdapterPart::queries);
  for (const char* policy : {"none", "knorm", "streaming", "adms", "tova", "nonesuch"}) {
    EXPECT_EQ(part(policy, {}), AdapterPart::none) << policy;
  }
}

}  // namespace
}  // namespace dms::policy
