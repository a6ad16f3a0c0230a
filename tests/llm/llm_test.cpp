#include "dms/llm.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <stdexcept>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing::HasSubstr;
using testing_support::seed;

constexpr const char* kConfig = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 83,
  "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
  "rope_theta": 10000.0, "hidden_act": "silu"})";

constexpr int64_t kKibi = 1024;

std::filesystem::path tiny_config() {
  const auto path = std::filesystem::path(testing::TempDir()) / "llm_test_config.json";
  std::ofstream(path) << kConfig;
  return path;
}

LLM tiny_llm(const ModelOptions& options = {.dtype = "f32"}) {
  const testing_support::TempFolder folder;  // of its own: tests run side by side
  return LLM::with_random_weights(folder.write("config.json", kConfig), seed(), options);
}

std::vector<int32_t> random_ids(int64_t count) {
  std::mt19937_64 random(seed());
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 83);
  return ids;
}

TEST(Llm, OneMemoryLimitHoldsForAllSessions) {
  LLM llm = tiny_llm({.dtype = "f32", .kv_memory_bytes = 256 * kKibi});
  Session first = llm.new_session();
  for (const std::string kv_dtype : {"", "bf16"}) {
    Session other = llm.new_session({.kv_dtype = kv_dtype});
    EXPECT_THROW(other.append(random_ids(2000)), RunError) << kv_dtype;
    EXPECT_GT(other.tokens(), 200);
    EXPECT_LE(other.kv().peak_bytes, 300 * kKibi) << "pages and tables";
    EXPECT_THROW(first.append(random_ids(200)), RunError) << "the other one has the memory";
  }
  first.append(random_ids(100));
  EXPECT_THROW(tiny_llm({.kv_memory_bytes = -1}), InputError);
  EXPECT_THROW(llm.new_session({.preallocate_tokens = -1}), InputError);
  EXPECT_THROW(llm.new_session({.preallocate_tokens = int64_t{1} << 62}), InputError);
  EXPECT_THROW(llm.new_session({.preallocate_tokens = 1 << 20}), RunError);
}

TEST(Llm, AnAnswerThatMeetsTheLimitKeepsItsText) {
  LLM llm = tiny_llm({.dtype = "f32", .kv_memory_bytes = 256 * kKibi});
  Session session = llm.new_session();
  const Generation result =
      session.generate(random_ids(100), {.max_new_tokens = 5000, .ignore_eos = true});
  EXPECT_EQ(result.finish_reason, "error");
  EXPECT_THAT(result.error, HasSubstr("limit reached"));
  EXPECT_GT(result.ids.size(), 100u);
  EXPECT_EQ(session.tokens(), 100 + std::ssize(result.ids) - 1);
}

TEST(Llm, TheSameSessionTwiceIsRefused) {
  LLM llm = tiny_llm();
  std::vector<Session> sessions;
  sessions.push_back(llm.new_session());
  std::string message;
  const auto within = [&](int64_t, int64_t) {
    try {
      sessions.front().generate(random_ids(3), {.max_new_tokens = 1});
    } catch (const InputError& error) {
      message = error.what();
    }
  };
  sessions.front().append(random_ids(5), within);
  EXPECT_THAT(message, HasSubstr("at work"));
}

TEST(Llm, ASessionsSubmittedRequestIsAnsweredByAnybodysSteps) {
  LLM llm = tiny_llm({.dtype = "f32"});
  const std::vector<int32_t> prompt = random_ids(30);
  Session alone = llm.new_session();
  const Generation expected = alone.generate(prompt, {.max_new_tokens = 10, .ignore_eos = true});
  Session session = llm.new_session();
  Generation result;
  session.submit({.prompt = prompt,
                  .sampling = {.max_new_tokens = 10, .ignore_eos = true},
                  .sink = [&](const Event& event) {
                    if (const auto* end = std::get_if<FinishedEvent>(&event)) result = end->result;
                  }});
  llm.step();
  EXPECT_THROW(session.append(random_ids(2)), InputError);
  EXPECT_THROW(session.truncate(1), InputError);
  EXPECT_THROW(session.submit({.prompt = prompt}), InputError);
  while (llm.step()) continue;
  EXPECT_EQ(result.ids, expected.ids);
  EXPECT_TRUE(std::ranges::equal(session.ids().first(30), prompt));
  EXPECT_EQ(std::ssize(session.ids()), session.tokens());
  EXPECT_THROW(session.submit({.prompt = prompt, .answers = 2}), InputError);
  session.truncate(1);
}

TEST(Llm, APromptThatIsRankedAsAWholeIsTakenBackAsAWhole) {
  LLM llm = tiny_llm({.dtype = "f32"});
  const auto reusable = [&llm](const CacheOptions& cache, int64_t common, int64_t more) {
    Session session = llm.new_session(cache);
    session.append(random_ids(30));
    const std::vector<int32_t> one{7};
    for (int i = 0; i < 5; ++i) session.append(one);
    session.append(random_ids(10));
    const Session fork = session.fork();
    std::vector<int32_t> ids(fork.ids().begin(), fork.ids().begin() + common);
    for (int64_t i = 0; i < more; ++i) ids.push_back((session.ids()[0] + 1) % 9);
    EXPECT_EQ(fork.reusable_tokens(ids), session.reusable_tokens(ids));
    return session.reusable_tokens(ids);
  };
  const CacheOptions ranked{.policy = "knorm", .policy_args = {{"compression_ratio", "0.5"}}};
  for (const int64_t common : {1, 29, 30, 33, 35, 36, 44, 45}) {
    EXPECT_EQ(reusable({.policy = "none"}, common, 0), common - 1);
    const int64_t last = common - 1;  // it is left to compute
    EXPECT_EQ(reusable(ranked, common, 0), last < 30 ? 0 : std::min<int64_t>(last, 35)) << common;
  }
  EXPECT_EQ(reusable(ranked, 45, 3), 45);
  EXPECT_EQ(reusable(ranked, 0, 3), 0);
}

TEST(Llm, WhatACallersFunctionThrowsComesOutOfTheCall) {
  LLM llm = tiny_llm();
  Session session = llm.new_session();
  const auto fail = [](int64_t, int64_t) { throw std::runtime_error("closed pipe"); };
  EXPECT_THROW(session.append(random_ids(600), fail), std::runtime_error);
  EXPECT_LT(session.tokens(), 600) << "nothing more is computed";
  session.append(random_ids(5));
}

TEST(Llm, ALongRollbackCanBeInterruptedAndGoesOn) {
  LLM llm = tiny_llm({.dtype = "f32", .chunk_tokens = 64});
  const CacheOptions cache{.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = 20};
  const std::vector<int32_t> ids = random_ids(600);
  Session session = llm.new_session(cache);
  session.append(ids);
  std::vector<int64_t> seen;
  const auto stop = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 400);
    seen.push_back(done);
    if (seen.size() == 2) throw std::runtime_error("stopped");
  };
  EXPECT_THROW(session.truncate(400, stop), std::runtime_error);
  EXPECT_EQ(seen, (std::vector<int64_t>{64, 128}));
  EXPECT_EQ(session.tokens(), 400);
  int64_t last_total = 0;
  const auto count = [&](int64_t, int64_t total) { last_total = total; };
  const std::span<const float> row = session.append(random_ids(3), count);
  const std::vector<float> got(row.begin(), row.end());
  EXPECT_EQ(last_total, 400 - 128 + 3);
  Session fresh = llm.new_session(cache);
  fresh.append(std::span(ids).first(400));
  const std::span<const float> expected = fresh.append(random_ids(3));
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-3f);
  EXPECT_EQ(session.decisions(), fresh.decisions());
}

TEST(Llm, ASavedSessionGoesOnInAnotherProcess) {
  const testing_support::TempFolder folder;
  const std::filesystem::path file = folder.path() / "talk.dms";
  const CacheOptions cache{.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = 20};
  const SamplingParams sampling{.max_new_tokens = 30, .ignore_eos = true};
  LLM llm = tiny_llm();
  Session session = llm.new_session(cache);
  session.append(random_ids(200));
  session.save(file);
  const Generation expected = session.generate(random_ids(3), sampling);
  {
    LLM other = tiny_llm();
    Session restored = other.load_session(file);
    EXPECT_EQ(restored.tokens(), 200);
    const Generation got = restored.generate(random_ids(3), sampling);
    EXPECT_EQ(got.ids, expected.ids);
    EXPECT_EQ(got.kv.held_tokens, expected.kv.held_tokens);
  }
  LLM bf16 = tiny_llm({.dtype = "bf16"});
  EXPECT_THROW(bf16.load_session(file), InputError);
  EXPECT_THROW(llm.load_session(folder.path() / "none.dms"), InputError);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(500).put('!');
  EXPECT_THROW(llm.load_session(file), InputError);
  std::ofstream(file, std::ios::trunc) << "DMS";
  EXPECT_THROW(llm.load_session(file), InputError);
}

TEST(Llm, RequestsRunSideBySideAndCanBeCancelled) {
  LLM llm = tiny_llm();
  std::map<int, Generation> results;
  const auto ask = [&](int name, int64_t tokens) {
    return llm.submit({.prompt = random_ids(40),
                       .sampling = {.max_new_tokens = tokens, .ignore_eos = true},
                       .sink = [&results, name](const Event& event) {
                         if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                           results[name] = end->result;
                         }
                       }});
  };
  ask(1, 10);
  const RequestId endless = ask(2, 8000);
  for (int i = 0; i < 30; ++i) llm.step();
  llm.cancel(endless);
  EXPECT_FALSE(llm.step());
  EXPECT_EQ(results.at(1).ids.size(), 10u);
  EXPECT_EQ(results.at(2).finish_reason, "cancelled");
  EXPECT_TRUE(
      std::equal(results.at(1).ids.begin(), results.at(1).ids.end(), results.at(2).ids.begin()));
  EXPECT_GT(results.at(2).kv.held_tokens, 0);
}

TEST(ModelSource, RefusesWhatASessionWouldRefuse) {
  const ModelSource source = ModelSource::with_random_weights(tiny_config(), seed());
  const auto refusal_of = [](const auto& action) { return testing_support::input_error(action); };
  const auto check = [&](const CacheOptions& options) {
    return refusal_of([&] { source.check(options); });
  };
  EXPECT_THAT(check({.policy = "oracle"}), HasSubstr("policy: "));
  EXPECT_THAT(check({.policy = "dms"}), HasSubstr("policy: "));
  EXPECT_THAT(check({.policy = "random", .policy_args = {{"cr", "0"}}}), HasSubstr("cr"));
  EXPECT_THAT(check({.policy = "forced", .decisions_file = "/nowhere"}), HasSubstr("/nowhere"));
  EXPECT_THAT(check({.policy = "random", .window_tokens = -1}), HasSubstr("window_tokens"));
  EXPECT_THAT(check({.window_tokens = 9}), HasSubstr("window_tokens: has no effect"));
  EXPECT_THAT(check({.kv_dtype = "int9"}), HasSubstr("kv_dtype"));
  EXPECT_THAT(check({.kv_dtype = "k=int8,v=int9"}), HasSubstr("kv_dtype"));
  EXPECT_THAT(check({.kv_exact_layers = 1}), HasSubstr("kv_exact_layers: has no effect"));
  EXPECT_THAT(check({.kv_dtype = "int8", .kv_exact_layers = -1}), HasSubstr("kv_exact_layers"));
  EXPECT_THAT(check({.preallocate_tokens = -1}), HasSubstr("preallocate_tokens"));
  source.check(CacheOptions{.policy = "random", .window_tokens = 9});
  source.check(CacheOptions{.window_tokens = 9, .kv_dtype = "f32"});

  const auto check_params = [&](const SamplingParams& params) {
    return refusal_of([&] { source.check(params); });
  };
  EXPECT_THAT(check_params({.top_p = 2}), HasSubstr("top_p"));
  EXPECT_THAT(check_params({.stop_ids = {83}}), HasSubstr("stop_ids: no such token"));
  EXPECT_THAT(check_params({.stop = {"x"}}), HasSubstr("stop: the model has no tokenizer"));
  source.check(SamplingParams{.stop_ids = {82}});

  const auto check_ids = [&](const std::vector<int32_t>& ids) {
    return refusal_of([&] { source.check_prompt(ids, source.check(CacheOptions{}).max_tokens); });
  };
  EXPECT_THAT(check_ids({}), HasSubstr("is empty"));
  EXPECT_THAT(check_ids({1, 83}), HasSubstr("prompt[1]"));
  EXPECT_THAT(check_ids(random_ids(8193)), HasSubstr("at most 8192"));
  source.check_prompt(random_ids(8192), source.check(CacheOptions{}).max_tokens);
}

TEST(ModelSource, RefusesADraftModelOfAnotherVocabulary) {
  const auto demo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
  const std::string said = testing_support::input_error(
      [&] { ModelSource::with_random_weights(tiny_config(), seed(), {.draft = demo}); });
  EXPECT_THAT(said, HasSubstr("demo: the draft model has other tokens"));
  EXPECT_THAT(said, HasSubstr("a vocabulary of 8192"));
}

TEST(Llm, MemoryOfSeveralSessionsIsCountedOnce) {
  LLM llm = tiny_llm();
  std::vector<Session> sessions;
  for (int i = 0; i < 8; ++i) {
    sessions.push_back(llm.new_session());
    sessions.back().append(random_ids(500));
  }
  const KvStats all = llm.kv(sessions);
  const KvStats one = sessions.front().kv();
  EXPECT_EQ(all.dense_tokens, 8 * one.dense_tokens);
  EXPECT_EQ(all.held_per_head[1][1], 8 * one.held_per_head[1][1]);
  EXPECT_GE(all.peak_bytes, all.allocated_bytes);
  EXPECT_LE(all.peak_bytes, all.allocated_bytes * 5 / 4);  // pages a chunk held for a while
}

struct StorageTypes {
  std::string dtype{};
  std::string weights{};
  std::string kv_dtype{};

  int64_t element_bytes() const { return dtype == "f32" ? 4 : 2; }
};

void PrintTo(const StorageTypes& types, std::ostream* os) {
  *os << types.dtype << " weights '" << types.weights << "' kv '" << types.kv_dtype << "'";
}

class EveryStorageType : public testing::TestWithParam<StorageTypes> {};

/// Logits after the last of 400 tokens, 300 of them prefilled and the rest appended one by one.
std::vector<float> last_logits(const StorageTypes& types) {
  LLM llm = tiny_llm({.dtype = types.dtype, .weights = types.weights});
  Session session = llm.new_session({.policy = "random",
                                     .policy_args = {{"cr", "2"}},
                                     .window_tokens = 50,
                                     .kv_dtype = types.kv_dtype});
  const std::vector<int32_t> ids = random_ids(400);
  std::span<const float> row = session.append(std::span(ids).first(300));
  for (size_t i = 300; i < ids.size(); ++i) row = session.append(std::span(ids).subspan(i, 1));
  const KvStats kv = session.kv();
  EXPECT_EQ(kv.dense_bytes, kv.dense_tokens * 2 * 16 * types.element_bytes());
  return {row.begin(), row.end()};
}

TEST_P(EveryStorageType, GivesTheLogitsOfFloat32UpToRounding) {
  const std::vector<float> expected = last_logits({.dtype = "f32"});
  const std::vector<float> got = last_logits(GetParam());
  float scale = 0;
  for (const float value : expected) scale = std::max(scale, std::abs(value));
  float error = 0;
  for (size_t i = 0; i < got.size(); ++i) error = std::max(error, std::abs(got[i] - expected[i]));
  // Each of about 16 products and stores in a row is off by half a unit in bf16's last place.
  EXPECT_LE(error, 16 * 0x1p-9f * scale);
  EXPECT_GT(error, 0) << "the option does nothing";
}

std::string types_name(const testing::TestParamInfo<StorageTypes>& info) {
  return info.param.dtype + "_" + info.param.weights + "_" + info.param.kv_dtype;
}

INSTANTIATE_TEST_SUITE_P(Llm,
                         EveryStorageType,
                         testing::Values(StorageTypes{"f32", "", "bf16"},
                                         StorageTypes{"f32", "bf16", ""},
                                         StorageTypes{"f32", "bf16", "bf16"},
                                         StorageTypes{"bf16", "", ""},
                                         StorageTypes{"bf16", "bf16", "f32"}),
                         types_name);

}  // namespace
}  // namespace dms
