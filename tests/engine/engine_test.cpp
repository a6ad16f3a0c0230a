#include "engine/engine.h"

#include <map>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/scripted_model.h"

namespace dms::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing_support::ScriptedModel;
using Ids = std::vector<int32_t>;

constexpr int64_t kChunk = 8;

/// What one request's sink heard.
struct Heard {
  Ids tokens;
  std::vector<int64_t> prompt_done;
  std::vector<TokenChoice> choices;
  std::vector<Generation> finished;

  const Generation& result() const { return finished.at(0); }
};

class EngineTest : public testing::Test {
 protected:
  Engine& engine(EngineOptions options = {.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk},
                 Ids eos_ids = {}) {
    engine_.emplace(
        model_, Vocabulary{.tokenizer = nullptr, .eos_ids = std::move(eos_ids)}, options);
    return *engine_;
  }

  EventSink into(Heard& heard) {
    return [&heard](const Event& event) {
      ASSERT_TRUE(heard.finished.empty()) << "an event after the last one";
      if (const auto* prompt = std::get_if<PromptProgress>(&event)) {
        heard.prompt_done.push_back(prompt->done);
      } else if (const auto* token = std::get_if<TokenEvent>(&event)) {
        heard.tokens.push_back(token->id);
        heard.choices.push_back(token->choice);
      } else {
        heard.finished.push_back(std::get<FinishedEvent>(event).result);
      }
    };
  }

  RequestId ask(Heard& heard, Ids prompt, SamplingParams sampling, int64_t priority = 0) {
    return engine_->submit({.request = {.prompt = std::move(prompt),
                                        .sampling = std::move(sampling),
                                        .priority = priority,
                                        .sink = into(heard)}});
  }

  std::shared_ptr<Sequence> sequence() {
    return std::make_shared<Sequence>(model_.new_sequence(model_.plan({})),
                                      ScriptedModel::kContext);
  }

  void run() {
    while (engine_->step()) {
    }
  }

  ScriptedModel model_;
  std::optional<Engine> engine_;
};

TEST_F(EngineTest, ContinuesEachPromptUntilItsLimit) {
  engine();
  Heard first;
  Heard second;
  ask(first, {1, 2, 3}, {.max_new_tokens = 3});
  ask(second, {50}, {.max_new_tokens = 5});
  run();
  EXPECT_THAT(first.result().ids, ElementsAre(4, 5, 6));
  EXPECT_EQ(first.tokens, first.result().ids);
  EXPECT_THAT(second.result().ids, ElementsAre(51, 52, 53, 54, 55));
  EXPECT_EQ(first.result().finish_reason, "length");
  EXPECT_EQ(first.result().prompt_tokens, 3);
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_F(EngineTest, ALongPromptDoesNotStallRunningAnswers) {
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

TEST_F(EngineTest, APassTakesWholeChunksOfSeveralPrompts) {
  engine();
  std::vector<Heard> heard(3);
  for (Heard& each : heard) ask(each, Ids(12, 7), {.max_new_tokens = 1});
  run();
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8, 8}, {4, 4, 8}, {4}}));
}

TEST_F(EngineTest, HigherPriorityGoesFirstAndEqualOnesByAge) {
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

TEST_F(EngineTest, StopsAtEndTokensUnlessToldNotTo) {
  engine({}, {12});
  Heard stopped;
  Heard ignored;
  Heard by_id;
  ask(stopped, {10}, {.max_new_tokens = 4});
  ask(ignored, {10}, {.max_new_tokens = 4, .ignore_eos = true});
  ask(by_id, {10}, {.max_new_tokens = 4, .stop_ids = {13}, .ignore_eos = true});
  run();
  EXPECT_THAT(stopped.result().ids, ElementsAre(11, 12));
  EXPECT_EQ(stopped.result().finish_reason, "stop");
  EXPECT_THAT(ignored.result().ids, SizeIs(4));
  EXPECT_EQ(ignored.result().finish_reason, "length");
  EXPECT_THAT(by_id.result().ids, ElementsAre(11, 12, 13));
  EXPECT_EQ(by_id.result().finish_reason, "stop");
}

TEST_F(EngineTest, StopsWhereTheContextEndsUnlessThePolicyBoundsPositions) {
  engine();
  Heard bounded;
  Heard endless;
  ask(bounded, Ids(60, 7), {.max_new_tokens = 100});
  engine_->submit({.request = {.prompt = Ids(70, 7),
                               .sampling = {.max_new_tokens = 100},
                               .cache = {.policy = "endless"},
                               .sink = into(endless)}});
  run();
  EXPECT_THAT(bounded.result().ids, SizeIs(5));  // the last one needs no place in the cache
  EXPECT_EQ(bounded.result().finish_reason, "length");
  EXPECT_THAT(endless.result().ids, SizeIs(100));
}

TEST_F(EngineTest, RefusesBadRequestsAndGoesOn) {
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
  EXPECT_THAT(heard.result().ids, ElementsAre(2));
}

TEST_F(EngineTest, ContinuesOverTheSameSequence) {
  engine();
  const auto shared = sequence();
  for (const int32_t start : {10, 30}) {
    Heard heard;
    engine_->submit(
        {.request = {.prompt = {start}, .sampling = {.max_new_tokens = 2}, .sink = into(heard)},
         .sequence = shared});
    run();
    EXPECT_THAT(heard.result().ids, ElementsAre(start + 1, start + 2));
  }
  // Two prompts and two sampled tokens; the last is not yet appended.
  EXPECT_THAT(shared->ids(), ElementsAre(10, 11, 30, 31));
}

TEST_F(EngineTest, ASequenceServesOneRequestAtATime) {
  engine();
  const auto shared = sequence();
  const auto submit = [&](Heard& heard) {
    engine_->submit(
        {.request = {.prompt = {1}, .sampling = {.max_new_tokens = 2}, .sink = into(heard)},
         .sequence = shared});
  };
  Heard first;
  Heard second;
  submit(first);
  EXPECT_THROW(submit(second), InputError);
  run();
  submit(second);
  run();
  EXPECT_THAT(second.result().ids, ElementsAre(2, 3));
}

TEST_F(EngineTest, WhatASamplerRefusesEndsOneRequest) {
  model_.poison = {33};
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
  EXPECT_THAT(heard[1].result().ids, ElementsAre(32, 33));
  for (const size_t i : {0u, 2u}) EXPECT_THAT(heard[i].result().ids, SizeIs(5)) << i;
  for (const auto& each : sequences) {
    EXPECT_EQ(ScriptedModel::computed(each->state()), Ids(each->ids().begin(), each->ids().end()));
  }
}

TEST_F(EngineTest, ASinkThatThrowsEndsItsRequestAndNoOther) {
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
  EXPECT_THAT(other.result().ids, SizeIs(5));
  EXPECT_EQ(model_.live_sequences, 0);
}

TEST_F(EngineTest, ASinkMayNotStep) {
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

TEST_F(EngineTest, CancelsAtAnyMoment) {
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
    EXPECT_THAT(other.result().ids, SizeIs(9)) << passes_before;
    EXPECT_EQ(model_.live_sequences, 0);
  }
}

TEST_F(EngineTest, APassThatFailsEndsItsRequestsAndLeavesSequencesUsable) {
  model_.failing_passes = {3};
  engine();
  const auto kept = sequence();
  Heard failed;
  engine_->submit(
      {.request = {.prompt = Ids(12, 7), .sampling = {.max_new_tokens = 5}, .sink = into(failed)},
       .sequence = kept});
  run();
  EXPECT_EQ(failed.result().finish_reason, "error");
  EXPECT_THAT(failed.result().error, HasSubstr("pass failed"));
  EXPECT_EQ(kept->tokens(), 12);
  EXPECT_THAT(kept->missing(), SizeIs(12));
  Heard again;
  engine_->submit(
      {.request = {.prompt = {40}, .sampling = {.max_new_tokens = 2}, .sink = into(again)},
       .sequence = kept});
  run();
  EXPECT_THAT(again.result().ids, ElementsAre(41, 42));
  EXPECT_EQ(ScriptedModel::computed(kept->state()), Ids(kept->ids().begin(), kept->ids().end()));
}

TEST_F(EngineTest, AtTheMemoryLimitTheNewestGivesWay) {
  model_.limit_tokens = 44;
  engine();
  std::vector<Heard> heard(3);
  for (size_t i = 0; i < 3; ++i) ask(heard[i], Ids(12, 7), {.max_new_tokens = 10});
  run();
  EXPECT_THAT(heard[0].result().ids, SizeIs(10));
  EXPECT_THAT(heard[1].result().ids, SizeIs(10));
  EXPECT_EQ(heard[2].result().finish_reason, "error");
  EXPECT_THAT(heard[2].result().error, HasSubstr("limit reached"));
  EXPECT_EQ(model_.live_tokens, 0);
}

TEST_F(EngineTest, AtTheMemoryLimitPromptsComeInSmallerPieces) {
  model_.limit_tokens = 14;
  engine();
  Heard heard;
  ask(heard, Ids(13, 7), {.max_new_tokens = 2});
  run();
  EXPECT_THAT(heard.result().ids, ElementsAre(8, 9));
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8}, {5}, {1}}));
  model_.limit_tokens = 11;
  model_.passes.clear();
  Heard cut;
  ask(cut, Ids(13, 7), {.max_new_tokens = 2});
  run();
  EXPECT_EQ(model_.passes, (std::vector<std::vector<int64_t>>{{8}, {2}, {1}}));
  EXPECT_EQ(cut.result().finish_reason, "error");
}

TEST_F(EngineTest, ComputesAgainWhatALongRollbackLost) {
  engine();
  const auto kept = sequence();
  Heard first;
  engine_->submit(
      {.request = {.prompt = Ids(20, 7), .sampling = {.max_new_tokens = 1}, .sink = into(first)},
       .sequence = kept});
  run();
  kept->truncate(18);
  EXPECT_TRUE(kept->missing().empty()) << "four tokens go back at once";
  kept->truncate(10);
  EXPECT_THAT(kept->missing(), SizeIs(10));
  Heard second;
  engine_->submit(
      {.request = {.prompt = {40}, .sampling = {.max_new_tokens = 2}, .sink = into(second)},
       .sequence = kept});
  run();
  EXPECT_THAT(second.result().ids, ElementsAre(41, 42));
  Ids expected(10, 7);
  expected.insert(expected.end(), {40, 41});
  EXPECT_EQ(ScriptedModel::computed(kept->state()), expected);
  EXPECT_THROW(kept->truncate(13), InputError);
  EXPECT_THROW(kept->truncate(-1), InputError);
}

TEST_F(EngineTest, AnEmptyPromptCatchesUp) {
  engine();
  const auto kept = sequence();
  Heard first;
  engine_->submit(
      {.request = {.prompt = Ids(20, 7), .sampling = {.max_new_tokens = 0}, .sink = into(first)},
       .sequence = kept});
  run();
  kept->truncate(5);
  Heard second;
  engine_->submit(
      {.request = {.prompt = {}, .sampling = {.max_new_tokens = 0}, .sink = into(second)},
       .sequence = kept});
  run();
  EXPECT_EQ(second.result().finish_reason, "length");
  EXPECT_EQ(ScriptedModel::computed(kept->state()), Ids(5, 7));
}

TEST_F(EngineTest, BeyondTheBorderOfItsRopeASequenceIsComputedOnceForTheWholeContext) {
  model_.border = 16;
  engine();
  Heard shorter;
  const auto kept = sequence();
  engine_->submit(
      {.request = {.prompt = Ids(12, 7), .sampling = {.max_new_tokens = 20}, .sink = into(shorter)},
       .sequence = kept});
  run();
  EXPECT_THAT(shorter.result().ids, SizeIs(20));
  EXPECT_EQ(ScriptedModel::lengths_fixed_for(kept->state()), ScriptedModel::kContext);
  EXPECT_EQ(ScriptedModel::computed(kept->state()), Ids(kept->ids().begin(), kept->ids().end()));
  int64_t computed = 0;
  for (const auto& pass : model_.passes) computed += pass.at(0);
  EXPECT_EQ(computed, 31 + 16) << "sixteen tokens twice, the others once";
}

TEST_F(EngineTest, HandsOutTheLogitsOfPromptTokens) {
  engine();
  std::vector<int64_t> indices;
  Ids likeliest;
  const auto sink = [&](int64_t index, std::span<const float> row) {
    indices.push_back(index);
    likeliest.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
  };
  for (const LogitRows rows : {LogitRows::all, LogitRows::last}) {
    engine_->submit(
        {.request = {.prompt = {5, 9, 1, 2, 3, 4, 5, 6, 7, 30}, .sampling = {.max_new_tokens = 0}},
         .prompt_logits = rows,
         .on_logits = sink});
    run();
  }
  EXPECT_THAT(indices, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9));
  EXPECT_THAT(likeliest, ElementsAre(6, 10, 2, 3, 4, 5, 6, 7, 8, 31, 31));
}

TEST_F(EngineTest, ReportsLogProbabilitiesWhereAskedFor) {
  engine();
  Heard heard;
  ask(heard, {5}, {.max_new_tokens = 2, .log_probabilities = 3});
  run();
  // One logit is 1, ninety-nine are 0.
  const double total = std::log(std::exp(1.0) + 99);
  ASSERT_THAT(heard.choices, SizeIs(2));
  EXPECT_EQ(heard.choices[0].chosen.id, 6);
  EXPECT_NEAR(heard.choices[0].chosen.log_probability, 1 - total, 1e-6);
  ASSERT_THAT(heard.choices[0].likeliest, SizeIs(3));
  EXPECT_EQ(heard.choices[0].likeliest[0].id, 6);
  EXPECT_EQ(heard.choices[0].likeliest[1].id, 0);
  EXPECT_NEAR(heard.choices[0].likeliest[1].log_probability, -total, 1e-6);
  EXPECT_THAT(heard.result().choices, SizeIs(2));
}

TEST_F(EngineTest, OtherThreadsSubmitAndCancelWhileItRuns) {
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

}  // namespace
}  // namespace dms::engine
