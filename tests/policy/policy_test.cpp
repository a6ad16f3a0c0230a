#include "policy/policy.h"

#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::policy {
namespace {

PolicyRequest request(std::map<std::string, std::string> args = {}) {
  return {.layers = 2,
          .kv_heads = 3,
          .args = std::move(args),
          .window = std::nullopt,
          .decisions_file = {},
          .trained = std::nullopt};
}

std::vector<uint8_t> decide(const cache::Policy& source,
                            int64_t layer,
                            int64_t first,
                            int64_t count,
                            std::span<const float> logits = {}) {
  std::vector<uint8_t> evict(static_cast<size_t>(3 * count), 0);
  source.decide({.layer = layer, .first = first, .count = count, .logits = logits}, evict);
  return evict;
}

TEST(Policies, EveryRegisteredNameRejectsUnknownArguments) {
  ASSERT_FALSE(policy_names().empty());
  for (const std::string_view name : policy_names()) {
    PolicyRequest bad = request({{"no_such_argument", "1"}});
    bad.trained = TrainedEviction{};
    EXPECT_THROW(make_policy(name, bad), InputError) << name;
  }
  EXPECT_THROW(make_policy("nonesuch", request()), InputError);
}

TEST(Policies, MisspeltNamesAndValuesAreAnsweredWithTheNearest) {
  const auto expect =
      [](const char* policy, std::map<std::string, std::string> args, const char* suggestion) {
        const std::string error =
            testing_support::input_error([&] { make_policy(policy, request(std::move(args))); });
        testing_support::expect_parts(error, {suggestion});
      };
  expect("snapkvv", {}, "did you mean snapkv?");
  expect("streming", {}, "did you mean streaming?");
  expect("SNAPKV", {}, "did you mean snapkv?");
  expect("kvzip-plus", {}, "did you mean kvzip_plus?");
  expect("adms", {{"compressor_type", "lowrank"}}, "did you mean low_rank?");
  expect("adms", {{"compressor_type", "vq"}, {"anchor_mode", "gird"}}, "did you mean grid?");
  expect("knorm", {{"budget_over", "modle"}}, "did you mean model?");
}

TEST(Policies, ArgumentsWithoutEffectAreRefusedByWhatTheyTake) {
  const auto expect =
      [](const char* policy, std::map<std::string, std::string> args, const char* expected) {
        const std::string error =
            testing_support::input_error([&] { make_policy(policy, request(std::move(args))); });
        testing_support::expect_parts(error, {"has no effect here", expected});
      };
  expect("snapkv", {{"alpha_safeguard", "0.5"}}, "alpha_safeguard");
  expect("kvzip", {{"alpha_safeguard", "0.5"}}, "only with budget_over=layer");
  expect("snapkv", {{"interval", "5"}}, "got 5, expected only with budget");
  expect("chunked", {{"budget", "90"}, {"interval", "5"}}, "chunk_length alone");
  expect("knorm", {{"window", "5"}}, "only with threshold");
  for (const char* argument : {"compression_ratio",
                               "budget",
                               "interval",
                               "budget_over",
                               "alpha_safeguard",
                               "critical",
                               "chunk_length"}) {
    expect("knorm", {{"threshold", "-1"}, {argument, "0.5"}}, "got 0.5, expected no threshold");
  }
  expect("adms", {{"compressor", "foo"}}, "got foo, expected only with compressor_type=custom");
  expect("adms", {{"num_clusters", "9"}}, "only with compressor_type=vq");
  expect("adms", {{"anchor_mode", "mean"}}, "only with compressor_type=vq, summary or custom");
  for (const char* argument : {"rank", "svd_max_tokens"}) {
    expect("adms", {{"compressor_type", "summary"}, {argument, "9"}}, "compressor_type=low_rank");
  }
  expect("adms", {{"compressor_type", "summary"}, {"num_clusters", "9"}}, "compressor_type=vq");
  expect("adms",
         {{"enable_dynamic_sink", "false"}, {"max_seq_length", "9"}},
         "only with enable_dynamic_sink=true");
  expect("adms",
         {{"coverage_priority", "0"}, {"coverage_segments", "9"}},
         "only with coverage_priority above 0");
  const std::string listed = testing_support::input_error([] {
    make_policy("snapkv", request({{"alpha", "0.5"}}));
  });
  testing_support::expect_parts(listed, {"no such argument", "alpha_safeguard", "interval"});
}

TEST(Policies, RefusesWhatTakesNothingOrAllOfAPrompt) {
  const auto error = [](const char* policy, std::map<std::string, std::string> args) {
    PolicyRequest bad = request(std::move(args));
    bad.context = 4096;
    return testing_support::input_error([&] { make_policy(policy, bad); });
  };
  for (const char* ratio : {"0", "1"}) {
    testing_support::expect_parts(error("knorm", {{"compression_ratio", ratio}}),
                                  {"compression_ratio", "above 0 and below 1"});
  }
  for (const char* policy : {"knorm", "h2o", "tova", "chunked"}) {
    testing_support::expect_parts(error(policy, {{"budget", "4096"}}),
                                  {"budget", "got 4096, expected 1 to 4095"});
    PolicyRequest good = request({{"budget", "4095"}});
    good.context = 4096;
    EXPECT_NO_THROW(make_policy(policy, good)) << policy;
  }
}

TEST(Policies, RefusesWhatIsGivenAndKeepsAllOfTheContext) {
  struct Case {
    const char* policy;
    std::map<std::string, std::string> args;
    std::optional<int64_t> window;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases{
      {"streaming", {{"recent_size", "9000"}}, {}, {"recent_size", "got 9000, expected 0 to 4095"}},
      {"streaming",
       {{"recent_size", "96"}, {"start_size", "4000"}},
       {},
       {"start_size", "recent_size 96 + start_size 4000, expected fewer than 4096 together"}},
      {"adms",
       {{"recent_size", "100"}, {"compressed_budget", "4000"}},
       {},
       {"recent_size 100 + compressed_budget 4000"}},
      {"dms", {}, 4096, {"window_tokens", "got 4096"}},
      {"dms", {{"n_sink", "96"}}, 4000, {"window 4000 + n_sink 96"}},
      {"random", {{"window", "5000"}}, {}, {"policy_args.window", "got 5000"}},
      {"knorm",
       {{"threshold", "-14"}, {"window", "5000"}},
       {},
       {"policy_args.window", "got 5000, expected 0 to 4095"}},
      {"knorm", {{"threshold", "-14"}}, 5000, {"window_tokens", "got 5000"}},
      {"adms",
       {{"max_seq_length", "500000"}},
       {},
       {"max_seq_length", "got 500000, expected 1 to 409599"}},
      {"adms",
       {{"recent_size", "96"}, {"start_size", "4"}, {"max_seq_length", "400000"}},
       {},
       {"got recent_size 96 + max_seq_length 400000 / 100, expected fewer than 4096 together"}},
      {"adms",
       {{"compressed_budget", "4096"}},
       {},
       {"compressed_budget", "got 4096, expected 1 to 4095"}},
      {"snapkv", {{"window_size", "4096"}}, {}, {"window_size", "got 4096, expected 1 to 4095"}},
      {"adaptive", {{"base", "rkv"}, {"window_size", "4096"}}, {}, {"window_size", "got 4096"}},
      {"lagkv",
       {{"n_sink", "5000"}, {"compression_ratio", "0.9"}},
       {},
       {"policy_args.n_sink", "got 5000, expected 0 to 4095"}},
      {"expected_attention", {{"n_sink", "4096"}}, {}, {"n_sink", "got 4096, expected 0 to 4095"}},
      {"kvzip", {{"n_sink", "5000"}}, {}, {"n_sink", "got 5000"}},
      {"kvzip_plus", {{"n_sink", "5000"}}, {}, {"n_sink", "got 5000"}},
      {"chunked", {{"base", "lagkv"}, {"n_sink", "5000"}}, {}, {"n_sink", "got 5000"}},
      {"lagkv", {{"n_sink", "5000"}, {"budget", "6000"}}, {}, {"budget", "got 6000"}},
  };
  for (const Case& c : cases) {
    PolicyRequest bad = request(c.args);
    bad.trained = TrainedEviction{};
    bad.window = c.window;
    bad.context = 4096;
    const std::string error = testing_support::input_error([&] { make_policy(c.policy, bad); });
    for (const std::string& part : c.parts) testing_support::expect_parts(error, {part});
    bad.context = 16384;
    EXPECT_NO_THROW(make_policy(c.policy, bad)) << c.policy;
  }
  // Of two settings of the sinks the larger counts,.
  for (PolicyRequest good :
       {request({{"recent_size", "90"}, {"start_size", "3000"}, {"max_seq_length", "200000"}}),
        request({{"recent_size", "90"}, {"start_size", "2000"}, {"max_seq_length", "300000"}})}) {
    good.context = 4096;
    EXPECT_NO_THROW(make_policy("adms", good));
  }
  PolicyRequest within = request({{"n_sink", "3000"}, {"budget", "3001"}});  // the first are in it
  within.context = 4096;
  EXPECT_NO_THROW(make_policy("lagkv", within));
  PolicyRequest few = request({{"sink_size_start", "1000"}});
  EXPECT_NO_THROW(make_policy("compactor", few));
  few.context = 1000;
  testing_support::expect_parts(
      testing_support::input_error([&] { make_policy("compactor", few); }),
      {"sink_size_start", "got 1000, expected 0 to 999"});
  PolicyRequest by_default = request({{"start_size", "8"}});  // beside 2000 that nobody asked for
  by_default.context = 256;
  EXPECT_NO_THROW(make_policy("streaming", by_default));
  PolicyRequest off = request({{"disable_eviction", "true"}});
  off.trained = TrainedEviction{};
  off.window = 9999;
  off.context = 256;
  EXPECT_NO_THROW(make_policy("dms", off));
}

TEST(Policies, RefuseABudgetThatIsNoMoreThanWhatStaysAnyhow) {
  struct Case {
    const char* policy;
    std::map<std::string, std::string> args;
    int64_t spared;
    const char* part;
  };
  const std::vector<Case> cases{{"lagkv", {{"n_sink", "300"}}, 300, "300 first entries"},
                                {"expected_attention", {{"n_sink", "300"}}, 300, "300 first"},
                                {"compactor", {{"sink_size_start", "300"}}, 300, "300 first"},
                                {"kvzip", {{"n_sink", "300"}}, 300, "300 first"},
                                {"compactor", {}, 8, "8 first"},
                                {"snapkv", {}, 64, "64 newest entries"},
                                {"adaptive", {}, 64, "64 newest"},
                                {"criticalkv", {{"window_size", "5"}}, 5, "5 newest"},
                                {"rkv", {}, 8, "8 newest"}};
  for (const Case& c : cases) {
    PolicyRequest ranked = request(c.args);
    ranked.args["budget"] = std::to_string(c.spared + 1);
    EXPECT_NO_THROW(make_policy(c.policy, ranked)) << c.policy;
    for (const int64_t budget : {c.spared, c.spared / 2}) {
      ranked.args["budget"] = std::to_string(budget);
      testing_support::expect_parts(
          testing_support::input_error([&] { make_policy(c.policy, ranked); }),
          {"budget", "got " + std::to_string(budget), c.part});
    }
  }
}

TEST(Policies, RefuseChunksOfWhichTheRatioLeavesLessThanAnEntry) {
  struct Case {
    std::map<std::string, std::string> args;
    int64_t shortest;
  };
  // At 0.9 a chunk of ten keeps one; 1 / (1 - 0.9) is a little more than ten.
  for (const auto& [args, shortest] :
       std::vector<Case>{{{{"base", "knorm"}}, 2},
                         {{{"base", "lagkv"}, {"compression_ratio", "0.9"}}, 10},
                         {{{"base", "knorm"}, {"compression_ratio", "0.65"}}, 3},
                         {{{"base", "knorm"}, {"budget_over", "layer"}}, 2}}) {
    PolicyRequest chunked = request(args);
    chunked.args["chunk_length"] = std::to_string(shortest);
    EXPECT_NO_THROW(make_policy("chunked", chunked)) << shortest;
    chunked.args["chunk_length"] = std::to_string(shortest - 1);
    testing_support::expect_parts(
        testing_support::input_error([&] { make_policy("chunked", chunked); }),
        {"chunk_length", "compression_ratio", "expected at least " + std::to_string(shortest)});
  }
  for (const char* argument : {"budget", "budget_over"}) {
    const char* const value = std::string_view(argument) == "budget" ? "9" : "model";
    EXPECT_NO_THROW(make_policy("knorm", request({{"chunk_length", "1"}, {argument, value}})))
        << argument;
  }
}

TEST(Policies, SayWhereAPromptLeavesAnswersNoRoom) {
  const auto says =
      [](std::string_view policy, std::map<std::string, std::string> args, int64_t tokens) {
        CacheOptions options;
        options.policy_args = std::move(args);
        return !note_on_prompt(policy, options, tokens).empty();
      };
  EXPECT_FALSE(says("triattention", {}, 2047));
  EXPECT_TRUE(says("triattention", {}, 2048));
  EXPECT_TRUE(says("triattention", {{"budget", "50"}}, 50));
  EXPECT_FALSE(says("triattention", {{"budget", "51"}}, 50));
  EXPECT_FALSE(says("triattention", {{"count_prompt_tokens", "false"}}, 9999));
  EXPECT_FALSE(says("h2o", {{"budget", "50"}}, 9999));
}

TEST(Policies, OfferNoBaseThatTheyRefuse) {
  const auto error = [](const char* policy, const char* base) {
    return testing_support::input_error([&] { make_policy(policy, request({{"base", base}})); });
  };
  for (const char* policy : {"chunked", "criticalkv"}) {
    EXPECT_EQ(error(policy, "foo").find("kvzip"), std::string::npos) << policy;
    testing_support::expect_parts(error(policy, "kvzip"), {"no meaning for scores of a replay"});
  }
  testing_support::expect_parts(error("adaptive", "foo"), {"or kvzip_plus"});
}

TEST(Policies, WindowComesFromTheOptionThenTheModelThenTheDefault) {
  PolicyRequest r = request();
  EXPECT_EQ(make_policy("random", r)->window(), kDefaultWindow);
  r.trained = TrainedEviction{.window = 77};
  EXPECT_EQ(make_policy("random", r)->window(), 77);
  r.window = 5;
  EXPECT_EQ(make_policy("random", r)->window(), 5);
  r.window = -1;
  EXPECT_THROW(make_policy("random", r), InputError);
}

TEST(None, KeepsEverything) {
  const PolicyPtr none = make_policy("none", request());
  EXPECT_EQ(decide(*none, 0, 0, 4), std::vector<uint8_t>(12, 0));
  EXPECT_EQ(none->window(), 0);
}

TEST(Dms, EvictsWhereTheLogitIsPositive) {
  PolicyRequest r = request();
  EXPECT_THROW(make_policy("dms", r), InputError);
  r.trained = TrainedEviction{};
  const std::vector<float> logits{1, -1, 0, -1, 2, 0.5f};  // [2 tokens, 3 heads]
  EXPECT_EQ(decide(*make_policy("dms", r), 0, 0, 2, logits),
            (std::vector<uint8_t>{1, 0, 0, 1, 0, 1}));
  r.trained->per_layer = true;
  EXPECT_EQ(decide(*make_policy("dms", r), 0, 0, 2, logits),
            (std::vector<uint8_t>{1, 0, 1, 0, 1, 0}));
  r.args = {{"disable_eviction", "true"}};
  EXPECT_EQ(decide(*make_policy("dms", r), 0, 0, 2, logits), std::vector<uint8_t>(6, 0));
}

TEST(Lagkv, TakesNoNoticeOfChannelsThatNeverChange) {
  const PolicyPtr lagkv = make_policy("lagkv", request({{"n_sink", "0"}, {"lag_size", "3"}}));
  const std::vector<int32_t> positions{0, 1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> values(18, 2.0f);  // [9, 2]
  std::vector<float> keys;
  for (const float second : {3.0f, 9.0f, 5.0f, 1.0f, 4.0f, 2.0f, 7.0f, 8.0f, 6.0f}) {
    keys.insert(keys.end(), {1.0f, second});
  }
  const std::vector<float> scores = lagkv->measure(
      {.head_dim = 2, .tokens = 9, .positions = positions, .keys = keys, .values = values},
      nullptr);
  ASSERT_EQ(scores.size(), 9u);
  // In ranks of a partition: in the range of 1, 4, 2 the key of 9 stands out most, that of 3 least.
  EXPECT_LT(scores[0], scores[2]);
  EXPECT_LT(scores[2], scores[1]);
  for (const float score : scores) EXPECT_GE(score, 0.0f);
}

TEST(Kvzap, EvictsBelowTheThresholdBehindTheFirstTokens) {
  PolicyRequest r = request();
  EXPECT_THROW(make_policy("kvzap", r), InputError);
  r.scored = ScoredEviction{.threshold = -2, .window = 77, .sinks = 1};
  EXPECT_EQ(make_policy("kvzap", r)->window(), 77);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> scores{-3, -3, -3, -3, -2, nan};  // [2 tokens, 3 heads]
  EXPECT_EQ(decide(*make_policy("kvzap", r), 0, 0, 2, scores),
            (std::vector<uint8_t>{0, 1, 0, 0, 0, 0}));
  EXPECT_EQ(decide(*make_policy("kvzap", r), 1, 5, 2, scores),
            (std::vector<uint8_t>{1, 1, 1, 0, 1, 0}));
  r.args = {{"threshold", "-1.5"}, {"n_sink", "0"}};
  r.window = 5;
  EXPECT_EQ(make_policy("kvzap", r)->window(), 5);
  EXPECT_EQ(decide(*make_policy("kvzap", r), 0, 0, 2, scores),
            (std::vector<uint8_t>{1, 1, 1, 1, 1, 0}));
}

TEST(Streaming, KeepsTheStartAndHasItsOwnWindow) {
  const PolicyPtr streaming =
      make_policy("streaming", request({{"start_size", "2"}, {"recent_size", "10"}}));
  EXPECT_EQ(streaming->window(), 10);
  EXPECT_EQ(decide(*streaming, 1, 0, 3), (std::vector<uint8_t>{0, 0, 1, 0, 0, 1, 0, 0, 1}));
  EXPECT_FALSE(streaming->far_position(50).has_value());
  PolicyRequest with_window = request();
  with_window.window = 64;
  EXPECT_THROW(make_policy("streaming", with_window), InputError);
}

TEST(Streaming, ShiftsTheQueryToItsPlaceInTheCache) {
  const PolicyPtr shifted = make_policy(
      "streaming",
      request({{"start_size", "2"}, {"recent_size", "10"}, {"enable_pos_shift", "true"}}));
  EXPECT_EQ(shifted->far_position(5), 5);
  EXPECT_EQ(shifted->far_position(12), 12);
  EXPECT_EQ(shifted->far_position(500), 12);
}

TEST(Random, EvictsTheStatedShareAndDependsOnPositionAlone) {
  const PolicyPtr random = make_policy("random", request({{"cr", "8"}, {"seed", "3"}}));
  const std::vector<uint8_t> all = decide(*random, 1, 0, 20000);
  const double kept = 1.0 - static_cast<double>(std::count(all.begin(), all.end(), 1)) / 60000.0;
  EXPECT_NEAR(kept, 1.0 / 8.0, 0.006);  // four standard deviations
  const std::vector<uint8_t> part = decide(*random, 1, 137, 50);
  for (int64_t head = 0; head < 3; ++head) {
    for (int64_t i = 0; i < 50; ++i) {
      EXPECT_EQ(part[static_cast<size_t>(head * 50 + i)],
                all[static_cast<size_t>(head * 20000 + 137 + i)]);
    }
  }
  EXPECT_NE(all, decide(*make_policy("random", request({{"seed", "4"}})), 1, 0, 20000));
}

std::filesystem::path write_npy(const testing_support::TempFolder& folder,
                                const std::string& shape,
                                const std::vector<uint8_t>& values) {
  const std::filesystem::path path = folder.path() / "decisions.npy";
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.resize(118 - 1, ' ');
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY" << '\x01' << '\x00' << static_cast<char>(header.size()) << '\x00' << header;
  file.write(reinterpret_cast<const char*>(values.data()), std::ssize(values));
  return path;
}

TEST(Forced, ReadsDecisionsAndKeepsWhatLiesBeyondThem) {
  const testing_support::TempFolder folder;
  PolicyRequest r = request();
  EXPECT_THROW(make_policy("forced", r), InputError);
  r.decisions_file = write_npy(folder, "2, 3, 2", {0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0});
  const PolicyPtr forced = make_policy("forced", r);
  EXPECT_EQ(decide(*forced, 1, 1, 3), (std::vector<uint8_t>{1, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_THROW(make_policy("none", r), InputError);
  r.decisions_file = write_npy(folder, "2, 3, 2", {0, 1, 1, 0, 0, 0, 2, 1, 0, 0, 1, 0});
  EXPECT_THROW(make_policy("forced", r), InputError);
  r.decisions_file = write_npy(folder, "3, 2, 2", std::vector<uint8_t>(12, 0));
  EXPECT_THROW(make_policy("forced", r), InputError);
}

}  // namespace
}  // namespace dms::policy
