// Which beginnings of prompts are kept, for whom, and what asking for them costs.

#include "engine/prompt_sharing.h"

#include <gtest/gtest.h>

#include "engine/engine_fixture.h"

namespace dms::engine {
namespace {

using testing_support::ScriptedModel;
using testing_support::WatchedModel;

Ids joined_with(Ids beginning, int32_t tail) {
  beginning.insert(beginning.end(), {tail, tail, tail});
  return beginning;
}

class PromptSharingTest : public testing::Test {
 protected:
  std::unique_ptr<Running> waiting(Ids prompt, SamplingParams sampling = {}) {
    auto running = std::make_unique<Running>(
        ++ids_,
        Submission{.request = {.prompt = std::move(prompt), .sampling = std::move(sampling)}},
        model_.plan({}),
        vocabulary_);
    sharing_.welcome(*running);
    return running;
  }

  /// As the sequence of an answer is, once it is done.
  void keep(const Ids& ids) {
    const auto running = waiting(ids);
    Sequence sequence(model_.new_sequence(model_.plan({})), kContext);
    sequence.begin_prompt(std::ssize(ids));
    const Part part{.sequence = &sequence.state(), .ids = ids, .length = sequence.length()};
    model_.forward(std::span(&part, 1));
    sequence.record(ids);
    sharing_.keep_answer(*running, sequence);
  }

  int64_t spared(const Ids& prompt) { return sharing_.spared_tokens(*waiting(prompt)); }

  ScriptedModel script_{{.vocab = kVocab, .context = kContext}};
  WatchedModel model_{script_};
  Vocabulary vocabulary_;
  RequestId ids_ = 0;
  PromptSharing sharing_{model_, true, kChunk};
};

TEST_F(PromptSharingTest, NothingIsSparedWhereAllLogitsAreWanted) {
  const Ids beginning(20, 7);
  keep(beginning);
  const Ids prompt = joined_with(beginning, 1);
  EXPECT_EQ(spared(prompt), 20);
  EXPECT_EQ(sharing_.spared_tokens(*waiting(prompt, {.prompt_log_probabilities = 0})), 0);
}

TEST_F(PromptSharingTest, WhatIsWantedNextGoesLast) {
  const Ids first(20, 1);
  const Ids second(20, 2);
  const Ids unwanted(20, 3);
  for (const Ids& ids : {first, second, unwanted}) keep(ids);
  const auto a = waiting(joined_with(first, 9));
  const auto b = waiting(joined_with(second, 9));
  const std::vector<Running*> next{a.get(), b.get()};

  EXPECT_TRUE(sharing_.drop_unwanted(next));
  EXPECT_EQ(sharing_.cache().size(), 2);
  EXPECT_FALSE(sharing_.drop_unwanted(next));
  EXPECT_EQ(spared(a->request().prompt), 20);
  EXPECT_EQ(spared(b->request().prompt), 20);

  EXPECT_FALSE(sharing_.drop_unwanted(next));
  EXPECT_TRUE(sharing_.drop_oldest());
  EXPECT_EQ(spared(a->request().prompt), 20) << "of the first in the queue";
  EXPECT_EQ(spared(b->request().prompt), 0);
}

using EngineSharingTest = EngineTest;

TEST_P(EngineSharingTest, WhatTwoPromptsHaveInCommonIsMeasuredByThePassesThereAre) {
  // Chunks larger than a pass are none.
  engine({.chunk_tokens = 256, .max_step_tokens = 16, .prefix_cache = true});
  model_.limit_tokens = 400;
  const Ids beginning(20, 7);
  std::array<Heard, 2> heard;
  ask(heard[0], joined_with(beginning, 1), {.max_new_tokens = 1});
  ask(heard[1], joined_with(beginning, 2), {.max_new_tokens = 1});
  run();
  EXPECT_EQ(heard[1].result().cached_tokens, 20);
}

TEST_P(EngineSharingTest, APieceEndsWherePromptsPart) {
  engine({.chunk_tokens = 32, .max_step_tokens = 64, .prefix_cache = true});
  model_.limit_tokens = 400;
  const Ids beginning(20, 7);
  std::array<Heard, 3> heard;
  for (size_t i = 0; i < heard.size(); ++i) {
    const Ids prompt = joined({beginning, Ids(22, static_cast<int32_t>(i))});
    ask(heard[i], prompt, {.max_new_tokens = 1});
  }
  run();
  EXPECT_EQ(heard[1].result().cached_tokens, 20);
  EXPECT_EQ(heard[2].result().cached_tokens, 20);
}

TEST_P(EngineSharingTest, BesideManyPromptsEachCostsWhatItCostsBesideFew) {
  const auto questions = [this](int32_t prompts) {
    engine({.chunk_tokens = kChunk, .max_step_tokens = 512, .prefix_cache = true});
    std::vector<Heard> heard(static_cast<size_t>(prompts));
    for (int32_t i = 0; i < prompts; ++i) {
      ask(heard[static_cast<size_t>(i)], Ids(4, i), {.max_new_tokens = 1});
    }
    model_.border_questions = 0;
    run();
    return model_.border_questions;
  };
  const int64_t of_eight = questions(8);
  EXPECT_LE(questions(32), 4 * of_eight + 4);
}

TEST_P(EngineSharingTest, AFullQueueComputesItsCommonBeginningOnce) {
  // Two find room side by side, with the beginning they have in common.
  model_.limit_tokens = 140;
  engine({.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk, .prefix_cache = true});
  const Ids beginning(36, 7);
  std::vector<Heard> heard(12);
  for (size_t i = 0; i < heard.size(); ++i) {
    ask(heard[i], joined_with(beginning, static_cast<int32_t>(i)), {.max_new_tokens = 4});
  }
  run();
  for (size_t i = 0; i < heard.size(); ++i) {
    const Ids prompt = joined_with(beginning, static_cast<int32_t>(i));
    EXPECT_EQ(heard[i].result().ids, alone_.answer(prompt, 4)) << i;
    EXPECT_EQ(heard[i].result().cached_tokens, i == 0 ? 0 : 36) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(On, EngineSharingTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
