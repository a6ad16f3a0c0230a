// What requests on the demo model share, in bytes and in tokens that are not computed again.

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "dms/llm.h"
#include "support/seed.h"

namespace dms {
namespace {

using Ids = std::vector<int32_t>;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

class Sharing : public testing::TestWithParam<const char*> {
 protected:
  /// Asks, and hears the end. `result` lives until then.
  RequestId submit(LLM& llm, Generation& result, Ids prompt, int64_t tokens, int64_t answers = 1) {
    return llm.submit({.prompt = std::move(prompt),
                       .sampling = {.max_new_tokens = tokens, .ignore_eos = true},
                       .cache = {.policy = GetParam()},
                       .answers = answers,
                       .sink = [&result](const Event& event) {
                         if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                           result = end->result;
                         }
                       }});
  }

  static void run(LLM& llm) {
    while (llm.step()) {
    }
  }

  static int64_t computed(const EngineStats& stats) {
    return stats.prompt_tokens - stats.cached_tokens;
  }

  Ids random_ids(size_t count) {
    Ids ids(count);
    for (int32_t& id : ids) id = std::uniform_int_distribution<int32_t>(10, 8000)(random_);
    return ids;
  }

  std::mt19937_64 random_{testing_support::seed()};
};

/// Pages, once all answers of a prompt have begun and none has gone its own way.
int64_t bytes_of_answers(LLM& llm, Request request) {
  int64_t begun = 0;
  request.sampling.max_new_tokens = 8;
  request.sink = [&begun](const Event& event) {
    begun += std::holds_alternative<TokenEvent>(event);
  };
  const int64_t answers = request.answers;
  const RequestId id = llm.submit(std::move(request));
  while (begun < answers && llm.step()) {
  }
  const int64_t bytes = llm.stats().kv_used_bytes;
  EXPECT_EQ(llm.stats().running, answers);
  llm.cancel(id);
  while (llm.step()) {
  }
  return bytes;
}

TEST_P(Sharing, EightAnswersHoldTheirPromptOnce) {
  LLM llm(kDemo);
  Request request{.prompt = random_ids(4000), .cache = {.policy = GetParam()}};
  const int64_t one = bytes_of_answers(llm, request);
  request.answers = 8;
  EXPECT_LT(static_cast<double>(bytes_of_answers(llm, request)), 1.3 * static_cast<double>(one));
}

TEST_P(Sharing, ConversationsComputeNothingButWhatIsNew) {
  constexpr int64_t kTurns = 8;
  constexpr int64_t kSystem = 200;
  constexpr int64_t kQuestion = 24;
  constexpr int64_t kAnswer = 12;
  LLM llm(kDemo, {.kv_memory_bytes = 256 << 20, .prefix_cache = true});
  std::vector<Ids> texts(10, random_ids(kSystem));
  const int64_t conversations = std::ssize(texts);
  for (int64_t turn = 0; turn < kTurns; ++turn) {
    const int64_t before = computed(llm.stats());
    std::vector<Generation> results(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const Ids question = random_ids(kQuestion);
      texts[i].insert(texts[i].end(), question.begin(), question.end());
      submit(llm, results[i], texts[i], kAnswer);
    }
    run(llm);
    for (size_t i = 0; i < texts.size(); ++i) {
      ASSERT_EQ(results[i].ids.size(), kAnswer) << results[i].error;
      texts[i].insert(texts[i].end(), results[i].ids.begin(), results[i].ids.end());
    }
    // The last token of an answer ends it before it is computed: it is new in the next turn.
    const int64_t fresh = conversations * (kQuestion + (turn == 0 ? 0 : 1));
    EXPECT_EQ(computed(llm.stats()) - before, fresh + (turn == 0 ? kSystem : 0)) << turn;
  }
  EXPECT_EQ(llm.stats().preemptions, 0);
}

TEST_P(Sharing, ASecondBranchSharesWithAnAnswerUnderWay) {
  LLM llm(kDemo, {.kv_memory_bytes = 256 << 20, .prefix_cache = true});
  const Ids text = random_ids(300);
  Generation first;
  submit(llm, first, text, 64);
  for (int step = 0; step < 20; ++step) llm.step();
  ASSERT_TRUE(first.finish_reason.empty()) << "it goes on";
  Ids other = text;
  const Ids question = random_ids(30);
  other.insert(other.end(), question.begin(), question.end());
  Generation same;
  Generation branch;
  submit(llm, same, text, 4);
  submit(llm, branch, other, 4);
  run(llm);
  EXPECT_EQ(first.ids.size(), 64);
  EXPECT_EQ(branch.cached_tokens, 300);
  // The last token is computed for its logits.
  EXPECT_EQ(same.cached_tokens, 299);
  EXPECT_TRUE(std::equal(same.ids.begin(), same.ids.end(), first.ids.begin()));
}

TEST_P(Sharing, AFullQueueStartsFromWhatItHasInCommon) {
  const bool is_dense = std::string(GetParam()) == "none";
  LLM llm(kDemo, {.kv_memory_bytes = (is_dense ? 6 : 3) << 20, .prefix_cache = true});
  const std::array<Ids, 3> beginnings{random_ids(400), random_ids(400), random_ids(400)};
  std::vector<Generation> results(36);
  for (size_t i = 0; i < results.size(); ++i) {
    Ids prompt = beginnings[i % beginnings.size()];
    const Ids tail = random_ids(40);
    prompt.insert(prompt.end(), tail.begin(), tail.end());
    submit(llm, results[i], std::move(prompt), 40);
  }
  run(llm);
  EXPECT_GT(llm.stats().preemptions, 0) << "memory is short";
  // Some beginnings are given up for answers that would have to give way.
  EXPECT_LT(computed(llm.stats()), llm.stats().prompt_tokens / 2);
}

INSTANTIATE_TEST_SUITE_P(Llm, Sharing, testing::Values("none", "dms"), [](const auto& given) {
  return std::string(given.param);
});

}  // namespace
}  // namespace dms
