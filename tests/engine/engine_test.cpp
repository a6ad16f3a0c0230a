// The engine on every model that stands behind its seam: what it schedules and what it hands out
// must not depend on which.

#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "engine/engine_fixture.h"

namespace dms::engine {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;
using testing::SizeIs;

size_t at(int32_t id) { return static_cast<size_t>(id); }

TEST_P(EngineTest, ContinuesEachPromptUntilItsLimit) {
  engine();
  Heard first;
  Heard second;
  ask(first, {1, 2, 3}, {.max_new_tokens = 3});
  ask(second, {50}, {.max_new_tokens = 5});
  run();
  EXPECT_EQ(first.result().ids, alone_.answer(Ids{1, 2, 3}, 3));
  EXPECT_EQ(first.tokens, first.result().ids);
  EXPECT_EQ(second.result().ids, alone_.answer(Ids{50}, 5));
  EXPECT_EQ(first.result().finish_reason, "length");
  EXPECT_EQ(first.result().prompt_tokens, 3);
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_P(EngineTest, ALongPromptDoesNotStallRunningAnswers) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = kChunk});
  Heard answer;
  Heard prompt;
  ask(answer, {1, 2}, {.max_new_tokens = 6});
  engine_->step();
  ask(prompt, Ids(20, 7), {.max_new_tokens = 2});
  run();
  EXPECT_EQ(model_.passes,
            (std::vector<std::vector<int64_t>>{{2}, {1, 8}, {1, 8}, {1, 4}, {1, 1}, {1}}));
  EXPECT_THAT(prompt.prompt_done, ElementsAre(8, 16, 20));
}

TEST_P(EngineTest, APassTakesWholeChunksOfSeveralPrompts) {
  engine();
  std::vector<Heard> heard(3);
  for (Heard& each : heard) ask(each, Ids(12, 7), {.max_new_tokens = 1});
  run();
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8, 8}, {4, 4, 8}, {4}}));
}

TEST_P(EngineTest, HigherPriorityGoesFirstAndEqualOnesByAge) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = kChunk, .max_sequences = 1});
  std::vector<Heard> heard(4);
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) {
    engine_->submit({.request = {.prompt = {1},
                                 .sampling = {.max_new_tokens = 1},
                                 .priority = i == 2 ? 5 : 0,
                                 .sink = [&order, i](const Event& event) {
                                   if (std::holds_alternative<FinishedEvent>(event)) {
                                     order.push_back(i);
                                   }
                                 }}});
  }
  run();
  EXPECT_THAT(order, ElementsAre(2, 0, 1, 3));
}

TEST_P(EngineTest, StopsAtEndTokensUnlessToldNotTo) {
  const int32_t start = alone_.lively_start(4);
  const Ids answer = alone_.answer(Ids{start}, 4);
  engine({}, {answer[1]});
  Heard stopped;
  Heard ignored;
  Heard by_id;
  ask(stopped, {start}, {.max_new_tokens = 4});
  ask(ignored, {start}, {.max_new_tokens = 4, .ignore_eos = true});
  ask(by_id, {start}, {.max_new_tokens = 4, .stop_ids = {answer[2]}, .ignore_eos = true});
  run();
  EXPECT_THAT(stopped.result().ids, ElementsAre(answer[0], answer[1]));
  EXPECT_EQ(stopped.result().finish_reason, "stop");
  EXPECT_EQ(ignored.result().ids, answer);
  EXPECT_EQ(ignored.result().finish_reason, "length");
  EXPECT_THAT(by_id.result().ids, ElementsAre(answer[0], answer[1], answer[2]));
  EXPECT_EQ(by_id.result().finish_reason, "stop");
}

TEST_P(EngineTest, StopsWhereTheContextEndsUnlessThePolicyBoundsPositions) {
  engine();
  Heard bounded;
  Heard endless;
  ask(bounded, Ids(60, 7), {.max_new_tokens = 100});
  engine_->submit({.request = {.prompt = Ids(70, 7),
                               .sampling = {.max_new_tokens = 100},
                               .cache = endless_cache(),
                               .sink = into(endless)}});
  run();
  EXPECT_THAT(bounded.result().ids, SizeIs(5));  // the last one needs no place in the cache
  EXPECT_EQ(bounded.result().finish_reason, "length");
  EXPECT_THAT(endless.result().ids, SizeIs(100));
}

TEST_P(EngineTest, RefusesBadRequestsAndGoesOn) {
  engine();
  Heard heard;
  EXPECT_THROW(ask(heard, {}, {}), InputError);
  EXPECT_THROW(ask(heard, {100}, {}), InputError);
  EXPECT_THROW(ask(heard, {-1}, {}), InputError);
  EXPECT_THROW(ask(heard, Ids(65, 1), {}), InputError);
  EXPECT_THROW(ask(heard, {1}, {.temperature = -1}), InputError);
  EXPECT_THROW(ask(heard, {1}, {.stop = {""}}), InputError);
  EXPECT_THROW(ask(heard, {1}, {.stop = std::vector<std::string>(65, "x")}), InputError);
  EXPECT_THROW(ask(heard, {1}, {.stop = {std::string(1025, 'x')}}), InputError);
  EXPECT_THROW(engine_->submit({.request = {.prompt = {1}, .cache = {.policy = "no such"}}}),
               InputError);
  ask(heard, {1}, {.max_new_tokens = 1});
  run();
  EXPECT_EQ(heard.result().ids, alone_.answer(Ids{1}, 1));
}

TEST_P(EngineTest, WhatASamplerRefusesEndsOneRequest) {
  const Ids spoilt = joined({{31}, alone_.answer(Ids{31}, 2)});
  model_.is_spoilt = [&](std::span<const int32_t> ids) { return std::ranges::equal(ids, spoilt); };
  engine();
  std::vector<Heard> heard(3);
  std::vector<std::shared_ptr<Sequence>> sequences;
  const std::vector<int32_t> starts{10, 31, 50};
  for (size_t i = 0; i < 3; ++i) {
    sequences.push_back(sequence());
    engine_->submit({.request = {.prompt = {starts[i]},
                                 .sampling = {.max_new_tokens = 5},
                                 .sink = into(heard[i])},
                     .sequence = sequences[i]});
  }
  run();
  EXPECT_EQ(heard[1].result().finish_reason, "error");
  EXPECT_THAT(heard[1].result().error, HasSubstr("NaN"));
  EXPECT_FALSE(heard[1].result().is_short_of_memory);
  EXPECT_THAT(heard[1].result().ids, ElementsAre(spoilt[1], spoilt[2]));
  for (const size_t i : {0u, 2u}) {
    EXPECT_EQ(heard[i].result().ids, alone_.answer(Ids{starts[i]}, 5)) << i;
  }
  for (const auto& each : sequences) expect_computed(*each);
}

TEST_P(EngineTest, ASinkThatThrowsEndsItsRequestAndNoOther) {
  engine();
  Heard other;
  int calls = 0;
  engine_->submit(
      {.request = {
           .prompt = {1}, .sampling = {.max_new_tokens = 5}, .sink = [&calls](const Event&) {
             ++calls;
             throw std::runtime_error("closed pipe");
           }}});
  ask(other, {50}, {.max_new_tokens = 5});
  run();
  EXPECT_EQ(calls, 2);  // the prompt's progress, and the end
  EXPECT_EQ(other.result().ids, alone_.answer(Ids{50}, 5));
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_P(EngineTest, ASinkMayNotStep) {
  engine();
  std::string error;
  engine_->submit(
      {.request = {
           .prompt = {1}, .sampling = {.max_new_tokens = 5}, .sink = [&](const Event& event) {
             const auto* end = std::get_if<FinishedEvent>(&event);
             if (end != nullptr) {
               error = end->result.error;
             } else {
               engine_->step();
             }
           }}});
  run();
  EXPECT_THAT(error, HasSubstr("step"));
}

TEST_P(EngineTest, CancelsAtAnyMoment) {
  for (int passes_before = 0; passes_before < 6; ++passes_before) {
    engine();
    Heard cancelled;
    Heard other;
    const RequestId id = ask(cancelled, Ids(20, 7), {.max_new_tokens = 5});
    ask(other, {50}, {.max_new_tokens = 9});
    for (int i = 0; i < passes_before; ++i) engine_->step();
    engine_->cancel(id);
    engine_->cancel(12345);
    run();
    EXPECT_EQ(cancelled.result().finish_reason, "cancelled") << passes_before;
    EXPECT_EQ(other.result().ids, alone_.answer(Ids{50}, 9)) << passes_before;
    EXPECT_EQ(model_.live_sequences, 0);
  }
}

TEST_P(EngineTest, AtTheMemoryLimitTheNewestWaits) {
  model_.limit_tokens = 44;
  engine();
  std::vector<Heard> heard(3);
  for (size_t i = 0; i < 3; ++i) ask(heard[i], Ids(12, 7), {.max_new_tokens = 10});
  run();
  for (const Heard& each : heard) EXPECT_EQ(each.result().ids, alone_.answer(Ids(12, 7), 10));
  EXPECT_GT(engine_->stats().preemptions, 0);
  EXPECT_EQ(model_.live_tokens, 0);
}

TEST_P(EngineTest, WhatDoesNotFitAloneFails) {
  model_.limit_tokens = 20;
  engine();
  Heard large;
  Heard small;
  ask(large, Ids(18, 7), {.max_new_tokens = 10});
  ask(small, Ids(12, 7), {.max_new_tokens = 5});
  run();
  EXPECT_EQ(large.result().finish_reason, "error");
  EXPECT_THAT(large.result().error, HasSubstr("limit reached"));
  EXPECT_TRUE(large.result().is_short_of_memory);
  EXPECT_THAT(large.result().ids, SizeIs(3));
  EXPECT_EQ(small.result().ids, alone_.answer(Ids(12, 7), 5));
}

TEST_P(EngineTest, AtTheMemoryLimitPromptsComeInSmallerPieces) {
  model_.limit_tokens = 14;
  engine();
  Heard heard;
  ask(heard, Ids(13, 7), {.max_new_tokens = 2});
  run();
  EXPECT_EQ(heard.result().ids, alone_.answer(Ids(13, 7), 2));
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8}, {5}, {1}}));
  model_.limit_tokens = 11;
  model_.passes.clear();
  Heard cut;
  ask(cut, Ids(13, 7), {.max_new_tokens = 2});
  run();
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8}, {2}, {1}}));
  EXPECT_EQ(cut.result().finish_reason, "error");
}

TEST_P(EngineTest, HandsOutTheLogitsOfPromptTokens) {
  engine();
  const Ids prompt{5, 9, 1, 2, 3, 4, 5, 6, 7, 30};
  const auto expected = alone_.rows(prompt);
  std::vector<int64_t> indices;
  const auto sink = [&](int64_t index, std::span<const float> row) {
    indices.push_back(index);
    EXPECT_THAT(row, Pointwise(FloatNear(1e-4f), expected.at(static_cast<size_t>(index))));
  };
  for (const LogitRows rows : {LogitRows::all, LogitRows::last}) {
    engine_->submit({.request = {.prompt = prompt, .sampling = {.max_new_tokens = 0}},
                     .prompt_logits = rows,
                     .on_logits = sink});
    run();
  }
  EXPECT_THAT(indices, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9));
}

TEST_P(EngineTest, ReportsLogProbabilitiesWhereAskedFor) {
  engine();
  Heard heard;
  ask(heard, {5}, {.max_new_tokens = 2, .log_probabilities = 3});
  run();
  ASSERT_THAT(heard.choices, SizeIs(2));
  const std::vector<float> row = alone_.rows(Ids{5}).front();
  double total = 0;
  for (const float logit : row) total += std::exp(double{logit});
  std::vector<int32_t> falling(kVocab);
  std::iota(falling.begin(), falling.end(), 0);
  std::ranges::stable_sort(falling, std::greater<>(), [&](int32_t id) { return row[at(id)]; });
  EXPECT_EQ(heard.choices[0].chosen.id, falling[0]);
  ASSERT_THAT(heard.choices[0].likeliest, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    const TokenProbability& likely = heard.choices[0].likeliest[i];
    EXPECT_EQ(likely.id, falling[i]);
    EXPECT_NEAR(likely.log_probability, row[at(falling[i])] - std::log(total), 1e-4);
  }
  EXPECT_THAT(heard.result().choices, SizeIs(2));
}

TEST_P(EngineTest, OtherThreadsSubmitAndCancelWhileItRuns) {
  engine();
  constexpr int kThreads = 3;
  constexpr int kRequests = 40;
  std::atomic<int> finished = 0;
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        const RequestId id =
            engine_->submit({.request = {.prompt = Ids(static_cast<size_t>(i % 20 + 1), 7),
                                         .sampling = {.max_new_tokens = 6},
                                         .sink = [&](const Event& event) {
                                           if (!std::holds_alternative<FinishedEvent>(event))
                                             return;
                                           if (++finished == kThreads * kRequests)
                                             engine_->stop_waiting();
                                         }}});
        if ((i + t) % 3 == 0) engine_->cancel(id);
      }
    });
  }
  while (finished < kThreads * kRequests) {
    engine_->wait();
    engine_->step();
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(model_.live_sequences, 0);
}

// As where a device has failed or has no memory for what it is asked.
TEST_P(EngineTest, RequestsEndWhateverTheModelCannotSayOfTheirSequences) {
  for (const int64_t failing : {int64_t{0}, int64_t{2}}) {
    SCOPED_TRACE(failing);
    model_.is_silent = false;
    engine({.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk, .prefix_cache = true});
    model_.passes.clear();
    model_.failing_passes = {failing};
    model_.is_silent = true;
    std::vector<Heard> heard(2);
    for (size_t i = 0; i < heard.size(); ++i) {
      ask(heard[i], Ids(3, static_cast<int32_t>(i + 1)), {.max_new_tokens = 4});
    }
    ASSERT_NO_THROW(run());
    for (const Heard& one : heard) {
      ASSERT_EQ(one.finished.size(), 1u);
      EXPECT_EQ(one.result().finish_reason, "error");
      EXPECT_EQ(one.result().error, failing == 0 ? "the device says nothing" : "pass failed");
      EXPECT_EQ(one.tokens.size(), failing == 0 ? 4u : 1u);
    }
    EXPECT_EQ(model_.live_sequences, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(On, EngineTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
