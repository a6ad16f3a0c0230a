// What requests may ask for beyond one answer, on every model behind the engine's seam.

#include <chrono>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "engine/engine_fixture.h"

namespace dms::engine {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class ServingTest : public EngineTest {
 protected:
  /// A request for several answers, each with an ear of its own.
  RequestId ask_for_answers(std::vector<Heard>& heard, Request request) {
    request.answers = std::ssize(heard);
    request.sink = [this, &heard](const Event& event) {
      int64_t answer = 0;
      if (const auto* token = std::get_if<TokenEvent>(&event)) answer = token->answer;
      if (const auto* end = std::get_if<FinishedEvent>(&event)) answer = end->answer;
      into(heard[static_cast<size_t>(answer)])(event);
    };
    return engine_->submit({.request = std::move(request)});
  }

  Ids answer_of(const Request& request) {
    Heard heard;
    ask(heard, request.prompt, request.sampling);
    run();
    return heard.result().ids;
  }

  /// Room for some sequences, beginnings kept.
  void shared_engine() {
    model_.limit_tokens = 400;
    engine({.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk, .prefix_cache = true});
  }
};

// After each of the prompt's chunks, after every third token that is in the cache, and at the end.
TEST_P(ServingTest, ReportsWhatTheCacheHoldsToThoseWhoAsk) {
  for (const int64_t speculate : {0, 4}) {
    engine();
    Heard heard;
    engine_->submit({.request = {.prompt = Ids(2 * kChunk + 3, 7),
                                 .sampling = {.max_new_tokens = 8, .speculate = speculate},
                                 .report_tokens = 3,
                                 .sink = into(heard)}});
    run();
    ASSERT_GE(heard.memory.size(), 4u);
    const Ids whole = joined({Ids(2 * kChunk + 3, 7), heard.result().ids});
    for (const MemoryReport& report : heard.memory) {
      ASSERT_EQ(report.held_heads.size(), report.ids.size());
      ASSERT_LE(report.ids.size(), whole.size());
      EXPECT_EQ(report.ids, Ids(whole.begin(), whole.begin() + std::ssize(report.ids)));
    }
    EXPECT_EQ(heard.memory[0].ids.size(), static_cast<size_t>(kChunk));
    EXPECT_EQ(heard.memory.back().ids.size(), whole.size() - 1);
    EXPECT_EQ(heard.memory.back().kv.dense_tokens, heard.result().kv.dense_tokens);
    if (speculate > 0) continue;
    std::vector<size_t> answered;
    for (const MemoryReport& report : heard.memory) {
      if (report.ids.size() > 2 * kChunk + 3)
        answered.push_back(report.ids.size() - 2 * kChunk - 3);
    }
    EXPECT_THAT(answered, ElementsAre(2, 5, 7));
  }
}

TEST_P(ServingTest, EveryAnswerHasItsReportWhereNoneIsBegun) {
  engine();
  std::vector<int64_t> reported;
  int64_t finished = 0;
  engine_->submit({.request = {.prompt = Ids(5, 7),
                               .sampling = {.max_new_tokens = 0},
                               .answers = 2,
                               .report_tokens = 3,
                               .sink = [&](const Event& event) {
                                 if (const auto* memory = std::get_if<MemoryEvent>(&event)) {
                                   reported.push_back(memory->answer);
                                   EXPECT_EQ(memory->report.ids, Ids(5, 7));
                                 }
                                 finished += std::holds_alternative<FinishedEvent>(event) ? 1 : 0;
                               }}});
  run();
  EXPECT_THAT(reported, ElementsAre(0, 0, 1));
  EXPECT_EQ(finished, 2);
}

TEST_P(ServingTest, TheEndIsToldWhereTheLastReportFails) {
  engine();
  Heard heard;
  engine_->submit({.request = {.prompt = Ids(5, 7),
                               .sampling = {.max_new_tokens = 2},
                               .report_tokens = 100,
                               .sink = [&](const Event& event) {
                                 const bool is_last = heard.tokens.size() == 2;
                                 if (is_last && std::holds_alternative<MemoryEvent>(event)) {
                                   throw std::runtime_error("no room for it");
                                 }
                                 into(heard)(event);
                               }}});
  run();
  EXPECT_EQ(heard.result().finish_reason, "error");
  EXPECT_EQ(heard.result().error, "no room for it");
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_P(ServingTest, ReportsNothingToOthers) {
  engine();
  Heard heard;
  ask(heard, Ids(20, 7), {.max_new_tokens = 6});
  run();
  EXPECT_THAT(heard.memory, testing::IsEmpty());
}

TEST_P(ServingTest, AnswersAreThoseOfTheirSeedsAndShareThePrompt) {
  engine();
  const Request request{.prompt = Ids(20, 7),
                        .sampling = {.max_new_tokens = 6, .temperature = 2.0, .seed = 5}};
  std::vector<Heard> heard(4);
  ask_for_answers(heard, request);
  run();
  int64_t prompt_tokens = 0;
  for (const auto& pass : model_.passes) {
    for (const int64_t tokens : pass) prompt_tokens += tokens > 1 ? tokens : 0;
  }
  EXPECT_EQ(prompt_tokens, 20);
  for (size_t i = 0; i < heard.size(); ++i) {
    Request alone = request;
    alone.sampling.seed += i;
    EXPECT_EQ(heard[i].result().ids, answer_of(alone)) << i;
    EXPECT_EQ(heard[i].tokens, heard[i].result().ids);
  }
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_P(ServingTest, EachAnswerEndsOnceWhateverEndsIt) {
  for (int passes = 0; passes < 5; ++passes) {
    engine();
    std::vector<Heard> heard(3);
    const RequestId id =
        ask_for_answers(heard, {.prompt = Ids(12, 7), .sampling = {.max_new_tokens = 8}});
    for (int i = 0; i < passes; ++i) engine_->step();
    engine_->cancel(id);
    run();
    for (const Heard& each : heard) EXPECT_EQ(each.result().finish_reason, "cancelled");
    EXPECT_EQ(model_.live_sequences, 0);
  }
  EXPECT_THROW(engine_->submit({.request = {.prompt = {1}, .answers = 0}}), InputError);
}

TEST_P(ServingTest, ADeadlineEndsWhatHasNotEnded) {
  engine();
  Heard late;
  Heard other;
  engine_->submit({.request = {.prompt = {7},
                               .sampling = {.max_new_tokens = 30},
                               .deadline = std::chrono::steady_clock::now(),
                               .sink = into(late)}});
  ask(other, {9}, {.max_new_tokens = 3});
  run();
  EXPECT_EQ(late.result().finish_reason, "deadline");
  EXPECT_EQ(other.result().finish_reason, "length");
}

TEST_P(ServingTest, PromptProbabilitiesAreTheModels) {
  engine();
  const Ids prompt{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  Heard heard;
  ask(heard, prompt, {.max_new_tokens = 0, .prompt_log_probabilities = 2});
  run();
  const auto rows = alone_.rows(prompt);
  const std::vector<TokenChoice>& choices = heard.result().prompt_choices;
  ASSERT_THAT(choices, SizeIs(prompt.size() - 1));
  for (size_t i = 0; i < choices.size(); ++i) {
    double sum = 0;
    for (const float logit : rows[i]) sum += std::exp(double{logit});
    const auto next = static_cast<size_t>(prompt[i + 1]);
    EXPECT_EQ(choices[i].chosen.id, prompt[i + 1]);
    EXPECT_NEAR(choices[i].chosen.log_probability, rows[i][next] - std::log(sum), 1e-4);
    EXPECT_THAT(choices[i].likeliest, SizeIs(2));
  }
}

TEST_P(ServingTest, ABiasSaysWhatComes) {
  engine();
  Heard forced;
  ask(forced, {1}, {.max_new_tokens = 3, .logit_bias = {{42, 100.0}}});
  run();
  EXPECT_THAT(forced.tokens, ElementsAre(42, 42, 42));
  Heard refused;
  EXPECT_THROW(ask(refused, {1}, {.logit_bias = {{100, 1.0}}}), InputError);
  EXPECT_THROW(ask(refused, {1}, {.logit_bias = {{1, 101.0}}}), InputError);
  EXPECT_THROW(ask(refused, {1}, {.logit_bias = {{1, std::numeric_limits<double>::quiet_NaN()}}}),
               InputError);
}

TEST_P(ServingTest, AConversationComputesOnlyWhatIsNew) {
  shared_engine();
  Ids text{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  for (int turn = 0; turn < 4; ++turn) {
    const int64_t before = engine_->stats().prompt_tokens - engine_->stats().cached_tokens;
    Heard heard;
    ask(heard, text, {.max_new_tokens = 4, .ignore_eos = true});
    run();
    EXPECT_EQ(heard.result().ids, alone_.answer(text, 4)) << turn;
    const EngineStats stats = engine_->stats();
    const int64_t fresh =
        turn == 0 ? std::ssize(text) : 4;  // a token of the answer, and three more
    EXPECT_EQ(stats.prompt_tokens - stats.cached_tokens - before, fresh) << turn;
    EXPECT_EQ(heard.result().cached_tokens, std::ssize(text) - fresh);
    text.insert(text.end(), heard.result().ids.begin(), heard.result().ids.end());
    text.insert(text.end(), {20, 21, 22 + turn});
  }
}

TEST_P(ServingTest, RequestsWithOneBeginningComputeItOnce) {
  shared_engine();
  Ids beginning(36, 7);
  beginning[5] = 3;
  std::vector<Heard> heard(5);
  for (size_t i = 0; i < heard.size(); ++i) {
    Ids prompt = beginning;
    prompt.insert(prompt.end(), {static_cast<int32_t>(i), 9, 9});
    ask(heard[i], prompt, {.max_new_tokens = 2});
  }
  run();
  for (size_t i = 0; i < heard.size(); ++i) {
    Ids prompt = beginning;
    prompt.insert(prompt.end(), {static_cast<int32_t>(i), 9, 9});
    EXPECT_EQ(heard[i].result().ids, alone_.answer(prompt, 2)) << i;
    EXPECT_EQ(heard[i].result().cached_tokens, i == 0 ? 0 : 36);
  }
}

TEST_P(ServingTest, WhatIsKeptGivesWayToWhatIsAsked) {
  shared_engine();
  for (int32_t i = 0; i < 60; ++i) {
    Heard heard;
    ask(heard, Ids(30, i), {.max_new_tokens = 4});
    run();
    EXPECT_EQ(heard.result().finish_reason, "length");
    EXPECT_LE(model_.live_tokens, model_.limit_tokens);
  }
  EXPECT_GT(engine_->stats().cached_prefixes, 3);
}

TEST_P(ServingTest, LowPriorityIsNotOvertakenForEver) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = kChunk, .max_sequences = 1});
  Heard low;
  ask(low, {1}, {.max_new_tokens = 1}, -5);
  std::vector<std::unique_ptr<Heard>> high;
  while (low.finished.empty() && high.size() < 500) {
    ask(*high.emplace_back(std::make_unique<Heard>()), {2}, {.max_new_tokens = 1}, 5);
    ask(*high.emplace_back(std::make_unique<Heard>()), {3}, {.max_new_tokens = 1}, 5);
    engine_->step();
  }
  EXPECT_LT(high.size(), 500);
  run();
}

INSTANTIATE_TEST_SUITE_P(On, ServingTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
