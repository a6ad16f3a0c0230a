// Guesses ahead: where they come from, how many are worth it, and that no answer shows that there
// were any.

#include "engine/speculation.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <random>

#include <gtest/gtest.h>

#include "engine/engine_fixture.h"
#include "support/seed.h"

namespace dms::engine {
namespace {

using testing_support::seed;

/// By comparing everything with everything: the length of the longest match that ends before the
/// text does, and whether one of that length ends at `end`.
int64_t longest_by_hand(const Ids& text, int64_t end, bool& is_one) {
  int64_t longest = 0;
  for (int64_t other = 1; other < std::ssize(text); ++other) {
    const auto same = std::mismatch(text.rend() - other, text.rend(), text.rbegin()).first;
    const auto length = std::min(same - (text.rend() - other), PromptLookup::kLongestMatch);
    if (other == end) is_one = length >= longest;
    if (length > longest && other != end) is_one = false;
    longest = std::max<int64_t>(longest, length);
  }
  return longest;
}

TEST(PromptLookup, FindsTheLongestMatchInRandomTexts) {
  std::mt19937_64 random(seed());
  for (int32_t vocab : {2, 3, 5, 40}) {
    PromptLookup lookup;
    Ids text;
    for (int64_t i = 0; i < 60; ++i) {
      text.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
      lookup.append(text.back());
      const PromptLookup::Match match = lookup.longest_match();
      bool is_one = false;
      const int64_t longest = longest_by_hand(text, match.end, is_one);
      if (longest < PromptLookup::kLeastMatch) {
        EXPECT_EQ(match.length, 0);
        continue;
      }
      // With more places than are looked at a shorter one will do.
      if (vocab > 3) {
        EXPECT_TRUE(is_one && match.length == longest) << i << " seed " << seed();
      }
      const Ids guesses = lookup.following(match, 90);
      for (int64_t j = 0; j < 90; ++j) {
        const int64_t from = match.end + j;
        const auto size = std::ssize(text);
        EXPECT_EQ(guesses[static_cast<size_t>(j)],
                  from < size ? text[static_cast<size_t>(from)]
                              : guesses[static_cast<size_t>(from - size)]);
      }
    }
  }
}

TEST(PromptLookup, PrefersWhatIsLonger) {
  PromptLookup lookup;
  lookup.append(Ids{1, 2, 3, 4, 9, 2, 3, 5, 9, 1, 2, 3});
  EXPECT_EQ(lookup.following(lookup.longest_match(), 2), (Ids{4, 9}));
}

TEST(Acceptance, GuessesMoreTheMoreOftenItWasRight) {
  const PassCost alone{.guess = 0.1};
  Acceptance sure(0.5);
  EXPECT_GT(sure.worth(alone, 8), 0);
  EXPECT_LT(sure.worth(alone, 8), 8);
  for (int i = 0; i < 20; ++i) sure.learn(8, 8);
  EXPECT_EQ(sure.worth(alone, 8), 8);
  Acceptance wrong(0.5);
  for (int i = 0; i < 50; ++i) wrong.learn(8, 0);
  int64_t guessed = 0;
  for (int i = 0; i < 160; ++i) guessed += wrong.worth(alone, 8);
  EXPECT_EQ(guessed, 10) << "one is tried now and then";
  wrong.learn(1, 1);
  for (int i = 0; i < 5; ++i) wrong.learn(2, 2);
  EXPECT_GT(wrong.worth(alone, 8), 1) << "where a copy begins it is soon believed";
}

TEST(Acceptance, GuessesLessTheFullerThePass) {
  int64_t before = 8;
  for (const double answers : {1.0, 4.0, 16.0, 64.0}) {
    Acceptance acceptance(0.7);
    const PassCost pass{.tokens = answers, .cost = 1 + 0.1 * (answers - 1), .guess = 0.1};
    const int64_t count = acceptance.worth(pass, 8);
    EXPECT_LE(count, before);
    before = count;
  }
  EXPECT_EQ(before, 0);
}

class SpeculationTest : public EngineTest {
 protected:
  /// Guesses are from now on those of a model that says the same, or, `wrong`, mostly another
  /// thing.
  void use_draft(bool wrong) {
    draft_backend_ = wrong ? std::make_unique<testing_support::ScriptedModel>(
                                 testing_support::ScriptedModel::Shape{.context = kContext},
                                 [](std::span<const int32_t> ids) { return (ids.back() + 2) % 90; })
                           : make_backend(GetParam());
    draft_.emplace(*draft_backend_);
  }

  /// The answer with guesses is the one without in all that a caller sees.
  void expect_same_answer(const Ids& prompt, const SamplingParams& sampling, int64_t answers = 1) {
    std::vector<std::vector<Heard>> heard;
    for (const int64_t speculate : {0, 6}) {
      engine({.chunk_tokens = kChunk,
              .max_step_tokens = 2 * kChunk,
              .draft_model = draft_ ? &*draft_ : nullptr},
             {9});
      Request request{.prompt = prompt, .sampling = sampling, .answers = answers};
      request.sampling.speculate = speculate;
      std::vector<Heard>& each = heard.emplace_back(static_cast<size_t>(answers));
      request.sink = [&each](const Event& event) {
        if (const auto* token = std::get_if<TokenEvent>(&event)) {
          each[static_cast<size_t>(token->answer)].tokens.push_back(token->id);
          each[static_cast<size_t>(token->answer)].choices.push_back(token->choice);
        } else if (const auto* end = std::get_if<FinishedEvent>(&event)) {
          each[static_cast<size_t>(end->answer)].finished.push_back(end->result);
        }
      };
      engine_->submit({.request = request});
      run();
      drafted_ += engine_->stats().drafted_tokens;
      accepted_ += engine_->stats().accepted_tokens;
    }
    for (size_t i = 0; i < heard[0].size(); ++i) expect_same(heard[1][i], heard[0][i]);
  }

  static void expect_same(const Heard& one, const Heard& other) {
    EXPECT_EQ(one.tokens, other.tokens);
    const Generation& a = one.result();
    const Generation& b = other.result();
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.finish_reason, b.finish_reason);
    EXPECT_EQ(a.error, b.error);
    EXPECT_EQ(a.timings.decode_tokens, b.timings.decode_tokens);
    EXPECT_EQ(a.kv.dense_tokens, b.kv.dense_tokens);
    EXPECT_EQ(a.kv.held_tokens, b.kv.held_tokens);
    ASSERT_EQ(a.choices.size(), b.choices.size());
    for (size_t i = 0; i < a.choices.size(); ++i) {
      EXPECT_EQ(a.choices[i].chosen.id, b.choices[i].chosen.id);
      EXPECT_NEAR(a.choices[i].chosen.log_probability, b.choices[i].chosen.log_probability, 1e-5);
      EXPECT_EQ(a.choices[i].likeliest.size(), b.choices[i].likeliest.size());
    }
  }

  /// A prompt that ends as its beginning did, then goes on as the model does.
  Ids repeating_prompt(int32_t first) {
    const Ids answer = alone_.answer(Ids{first}, 8);
    return joined({{first}, answer, {first}, Ids(answer.begin(), answer.begin() + 1)});
  }

  std::unique_ptr<Model> draft_backend_;
  std::optional<testing_support::WatchedModel> draft_;
  int64_t drafted_ = 0;
  int64_t accepted_ = 0;
};

TEST_P(SpeculationTest, ADraftModelChangesNoAnswerRightOrWrong) {
  for (const bool wrong : {false, true}) {
    use_draft(wrong);
    for (const double temperature : {0.3, 0.0}) {
      drafted_ = accepted_ = 0;
      for (int32_t first = 0; first < 12; ++first) {
        // Longer than a chunk, so that the draft model has to catch up.
        const Ids prompt = joined({alone_.answer(Ids{first}, 19), {first}});
        expect_same_answer(
            prompt,
            {.max_new_tokens = 25, .temperature = temperature, .log_probabilities = 1},
            1 + first % 3);
      }
    }
    EXPECT_GT(drafted_, 0);
    EXPECT_EQ(accepted_ > drafted_ / 2, !wrong) << accepted_ << " of " << drafted_;
    engine_.reset();
    EXPECT_EQ(draft_->live_sequences, 0);
  }
}

TEST_P(SpeculationTest, ADraftModelThatFailsOrHasNoRoomGuessesNothing) {
  use_draft(false);
  draft_->limit_tokens = 15;
  draft_->failing_passes = {1, 3, 4};
  const Ids prompt = alone_.answer(Ids{3}, 9);
  expect_same_answer(prompt, {.max_new_tokens = 30, .ignore_eos = true});
  EXPECT_GT(std::ssize(draft_->passes), 3);
  engine_.reset();
  EXPECT_EQ(draft_->live_sequences, 0);
}

TEST_P(SpeculationTest, ADraftSequenceThatGoesWrongGuessesNothing) {
  use_draft(false);
  draft_->is_failing = [](std::span<const int32_t>) { return true; };
  expect_same_answer(Ids{3}, {.max_new_tokens = 3, .ignore_eos = true});
  EXPECT_GT(std::ssize(draft_->passes), 0);
  EXPECT_EQ(drafted_, 0);
  engine_.reset();
  EXPECT_EQ(draft_->live_sequences, 0);
}

TEST_P(SpeculationTest, NoAnswerShowsThatThereWereGuesses) {
  std::mt19937_64 random(seed());
  const auto draw = [&](int64_t max) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(max + 1));
  };
  for (int i = 0; i < 40; ++i) {
    const Ids prompt = repeating_prompt(static_cast<int32_t>(draw(kVocab - 1)));
    SamplingParams sampling{.max_new_tokens = draw(60), .seed = random()};
    if (draw(1) == 0) sampling.temperature = 0.4;
    if (draw(2) == 0) sampling.top_p = 0.9;
    if (draw(2) == 0) sampling.repetition_penalty = 1.3;
    if (draw(2) == 0) sampling.frequency_penalty = 0.4;
    if (draw(2) == 0) sampling.logit_bias = {{static_cast<int32_t>(draw(kVocab - 1)), 5.0}};
    if (draw(1) == 0) sampling.log_probabilities = draw(3);
    if (draw(2) == 0) sampling.stop_ids = {static_cast<int32_t>(draw(kVocab - 1))};
    sampling.ignore_eos = draw(1) == 0;
    expect_same_answer(prompt, sampling, 1 + draw(4) / 2);
  }
  EXPECT_GT(accepted_, 20) << seed();
  EXPECT_GT(drafted_, accepted_) << seed();
}

TEST_P(SpeculationTest, WhatIsSpoiltIsTheTokenThatIsSpoiltWithout) {
  model_.is_spoilt = [](std::span<const int32_t> ids) { return std::ssize(ids) == 19; };
  expect_same_answer(repeating_prompt(3), {.max_new_tokens = 30, .ignore_eos = true});
}

TEST_P(SpeculationTest, ASessionHoldsWhatItHoldsWithout) {
  engine();
  const auto one = sequence();
  const auto other = sequence();
  for (int turn = 0; turn < 3; ++turn) {
    const Heard expected = go_on(one, repeating_prompt(5 + turn), 7);
    Heard heard;
    engine_->submit({.request = {.prompt = repeating_prompt(5 + turn),
                                 .sampling = {.max_new_tokens = 7, .speculate = 5},
                                 .sink = into(heard)},
                     .sequence = other});
    run();
    EXPECT_EQ(heard.tokens, expected.tokens);
    EXPECT_TRUE(std::ranges::equal(one->ids(), other->ids()));
    EXPECT_EQ(one->state().decisions(), other->state().decisions());
    expect_computed(*other);
  }
}

TEST_P(SpeculationTest, ACancelledAnswerEndsWhereItEndsWithout) {
  engine();
  for (const int64_t speculate : {0, 6}) {
    Ids tokens;
    Generation result;
    RequestId id = 0;
    const auto text = sequence();
    id = engine_->submit(
        {.request = {.prompt = repeating_prompt(3),
                     .sampling = {.max_new_tokens = 30, .speculate = speculate},
                     .sink =
                         [&](const Event& event) {
                           if (const auto* token = std::get_if<TokenEvent>(&event)) {
                             tokens.push_back(token->id);
                             if (tokens.size() == 5) engine_->cancel(id);
                           } else if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                             result = end->result;
                           }
                         }},
         .sequence = text});
    run();
    EXPECT_EQ(tokens.size(), 5U);
    EXPECT_EQ(result.ids, tokens);
    EXPECT_EQ(result.finish_reason, "cancelled");
    EXPECT_EQ(text->tokens(), std::ssize(repeating_prompt(3)) + 4);
  }
}

TEST_P(SpeculationTest, GuessesTakeWhatPromptsLeave) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = kChunk + 2});
  Heard answer;
  Heard prompt;
  ask(answer, repeating_prompt(3), {.max_new_tokens = 40, .speculate = 8});
  for (int i = 0; i < 4; ++i) engine_->step();
  model_.passes.clear();
  ask(prompt, Ids(40, 7), {.max_new_tokens = 1});
  for (int i = 0; i < 5; ++i) engine_->step();
  ASSERT_EQ(model_.passes.size(), 5U);
  for (const auto& pass : model_.passes) {
    ASSERT_EQ(pass.size(), 2U);
    EXPECT_LE(pass[0], 1 + 2);
    EXPECT_EQ(pass[1], kChunk) << "a prompt's piece is not displaced";
  }
  run();
}

/// Sampled tokens, guessed or not, are drawn from the model's distribution: over many seeds each
/// comes as often as its probability says.
TEST_P(SpeculationTest, SampledTokensHaveTheModelsDistribution) {
  constexpr int kDraws = 1500;
  constexpr size_t kLikely = 4;  // tokens 0 to 3, each of which the prompt had after its end before
  const Ids prompt{1, 2, 3, 0, 1, 2, 3, 1, 1, 2, 3, 2, 1, 2, 3, 3, 1, 2, 3};
  SamplingParams sampling{.max_new_tokens = 4, .temperature = 1, .top_k = kLikely, .speculate = 4};
  for (int32_t id = 0; id < static_cast<int32_t>(kLikely); ++id) sampling.logit_bias[id] = 50;
  engine();
  std::vector<double> counts(kLikely);
  std::vector<double> expected(kLikely);
  for (int i = 0; i < kDraws; ++i) {
    sampling.seed = static_cast<uint64_t>(i);
    Heard heard;
    ask(heard, prompt, sampling);
    run();
    ++counts[static_cast<size_t>(heard.tokens.at(2))];
    const auto rows = alone_.rows(joined({prompt, {heard.tokens[0], heard.tokens[1]}}));
    double sum = 0;
    for (size_t id = 0; id < kLikely; ++id) sum += std::exp(double{rows.back()[id]});
    for (size_t id = 0; id < kLikely; ++id) {
      expected[id] += std::exp(double{rows.back()[id]}) / sum;
    }
  }
  EXPECT_GT(engine_->stats().accepted_tokens, kDraws / 20);
  for (size_t id = 0; id < kLikely; ++id) {
    EXPECT_NEAR(counts[id], expected[id], 5 * std::sqrt(expected[id])) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Engine, SpeculationTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
