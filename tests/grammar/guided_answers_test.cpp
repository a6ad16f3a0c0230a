// Answers that are held to a form: by models that would say anything, with guesses, several
// answers, too little memory, and what else may meet them.

#include <cmath>
#include <regex>

#include <gtest/gtest.h>

#include "base/json.h"
#include "engine/engine_fixture.h"
#include "grammar/guides.h"
#include "support/letters.h"

namespace dms::engine {
namespace {

using testing_support::kEndToken;
using testing_support::kUnnamedId;
using testing_support::letter;
using testing_support::letters;
using testing_support::ScriptedModel;

Structure regex(const std::string& text) { return {.kind = Structure::Kind::regex, .text = text}; }

class GuidedTest : public EngineTest {
 protected:
  void start(EngineOptions options = {.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk}) {
    start(model_, std::move(options));
  }
  void start(Model& model, EngineOptions options = {}) {
    guides_ = grammar::make_guides(tokenizer_, model.vocab());
    engine_.emplace(
        model,
        Vocabulary{.tokenizer = tokenizer_.get(), .eos_ids = {kEndToken}, .guides = guides_.get()},
        std::move(options));
  }

  Generation answer(const std::string& prompt, const SamplingParams& params) {
    Heard heard;
    ask(heard, letters(prompt), params);
    run();
    return heard.result();
  }

  std::shared_ptr<const text::Tokenizer> tokenizer_ = testing_support::letters_tokenizer();
  std::unique_ptr<GuideMaker> guides_;
};

TEST_P(GuidedTest, AnswersAreWhatWasAskedFor) {
  start();
  const std::string number = R"((0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?)";
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Generation result = answer(
        "How many?",
        {.max_new_tokens = 20, .temperature = 1.5, .seed = seed, .structure = regex(number)});
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.finish_reason, "stop");
    EXPECT_TRUE(std::regex_match(result.text, std::regex(number))) << result.text;
    EXPECT_EQ(result.ids.back(), kEndToken);
  }
}

TEST_P(GuidedTest, JsonParses) {
  start();
  const Structure point{
      .kind = Structure::Kind::json_schema,
      .text = R"({"type": "object", "required": ["x", "ok"], "additionalProperties": false,
                  "properties": {"x": {"type": "integer", "minimum": -99, "maximum": 99},
                                 "ok": {"type": "boolean"}}})",
      .any_whitespace = false};
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Generation result =
        answer("A", {.max_new_tokens = 40, .temperature = 1.5, .seed = seed, .structure = point});
    ASSERT_EQ(result.finish_reason, "stop") << result.text << result.error;
    const Json value = Json::parse(result.text);
    EXPECT_EQ(value.size(), 2) << result.text;
    EXPECT_LE(std::abs(value.at("x").get<int>()), 99);
    EXPECT_TRUE(value.at("ok").is_boolean());
  }
}

TEST_P(GuidedTest, SeveralAnswersAreThoseOfTheirSeeds) {
  start();
  SamplingParams params{
      .max_new_tokens = 12, .temperature = 1, .seed = 5, .structure = regex("[a-f]{2,9}")};
  std::vector<Generation> answers(3);
  engine_->submit({.request = {.prompt = letters("ab"),
                               .sampling = params,
                               .answers = 3,
                               .sink = [&](const Event& event) {
                                 const auto* finished = std::get_if<FinishedEvent>(&event);
                                 if (finished == nullptr) return;
                                 answers[static_cast<size_t>(finished->answer)] = finished->result;
                               }}});
  run();
  for (const Generation& each : answers) {
    EXPECT_EQ(each.finish_reason, "stop");
    EXPECT_EQ(each.ids, answer("ab", params).ids);
    ++params.seed;
  }
}

TEST_P(GuidedTest, WhoWaitsForMemoryGoesOnInItsForm) {
  const SamplingParams params{.max_new_tokens = 16, .structure = regex("[k-z]{14}")};
  start();
  const Ids expected = answer("aaaaaaaaaaaa", params).ids;
  ASSERT_EQ(std::ssize(expected), 15);
  model_.limit_tokens = 44;
  start();
  std::vector<Heard> heard(3);
  for (Heard& each : heard) ask(each, letters("aaaaaaaaaaaa"), params);
  run();
  for (const Heard& each : heard) EXPECT_EQ(each.result().ids, expected);
  EXPECT_GT(engine_->stats().preemptions, 0);
}

TEST_P(GuidedTest, LogProbabilitiesAreTheModelsOwn) {
  start();
  Heard free;
  ask(free, letters("ab"), {.max_new_tokens = 1, .log_probabilities = kVocab});
  run();
  const Generation held = answer("ab",
                                 {.max_new_tokens = 1,
                                  .logit_bias = {{letter('7'), 50}, {letter('x'), 100}},
                                  .log_probabilities = 0,
                                  .structure = regex("[0-9]")});
  ASSERT_EQ(held.ids, letters("7"));
  for (const TokenProbability& each : free.result().choices.at(0).likeliest) {
    if (each.id != letter('7')) continue;
    EXPECT_EQ(held.choices.at(0).chosen.log_probability, each.log_probability);
  }
}

TEST_P(GuidedTest, EndTokensComeWhereTheAnswerMayEnd) {
  start();
  const std::map<int32_t, double> eager{{kEndToken, 100}};
  EXPECT_EQ(
      answer("a", {.max_new_tokens = 9, .logit_bias = eager, .structure = regex("[0-9]{2,5}")})
          .ids.size(),
      3U);
  const Generation whole = answer("a",
                                  {.max_new_tokens = 9,
                                   .logit_bias = eager,
                                   .ignore_eos = true,
                                   .structure = regex("[0-9]{2,5}")});
  EXPECT_EQ(whole.ids.size(), 5U);
  EXPECT_EQ(whole.finish_reason, "stop");
}

INSTANTIATE_TEST_SUITE_P(On, GuidedTest, testing::ValuesIn(kBackends), backend_case_name);

/// A model that goes on with the text that it had six tokens before.
class RepeatingTest : public GuidedTest {
 protected:
  static int32_t six_before(std::span<const int32_t> ids) {
    return ids.size() < 6 ? letter('?') : ids[ids.size() - 6];
  }
  ScriptedModel repeating_{{.vocab = kVocab, .context = 512}, six_before};
  // A draft model that is wrong about every third token.
  ScriptedModel draft_{{.vocab = kVocab, .context = 512}, [](std::span<const int32_t> ids) {
                         return ids.size() % 3 == 0 ? letter('9') : six_before(ids);
                       }};
};

TEST_P(RepeatingTest, GuessesChangeNoAnswer) {
  // Guesses that are right, that the form refuses, and that lie beyond its end.
  const std::vector<std::string> forms{
      "(12,34,){5}99!", "([0-9]{2},){1,12}", "(12,3[a-f],){6}", "(12,34,){3}[a-z]{0,5}"};
  for (const std::string& form : forms) {
    for (const double temperature : {0.0, 0.25}) {
      std::vector<Ids> ids;
      for (int kind = 0; kind < 3; ++kind) {
        start(repeating_, {.draft_model = kind == 2 ? &draft_ : nullptr, .draft_cost = 0.01});
        const Generation result = answer("12,34,12,34,12,34,",
                                         {.max_new_tokens = 60,
                                          .temperature = temperature,
                                          .seed = 3,
                                          .speculate = kind == 0 ? 0 : 8,
                                          .structure = regex(form)});
        EXPECT_EQ(result.error, "");
        EXPECT_TRUE(std::regex_match(result.text, std::regex(form))) << result.text;
        EXPECT_EQ(result.accepted_tokens > 0, kind > 0) << form << " " << temperature;
        ids.push_back(result.ids);
      }
      EXPECT_EQ(ids[1], ids[0]) << form;
      EXPECT_EQ(ids[2], ids[0]) << form;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(On,
                         RepeatingTest,
                         testing::Values(BackendKind::scripted),
                         backend_case_name);

/// On a model that counts: every token is followed by the next one.
class CountingTest : public GuidedTest {
 protected:
  void SetUp() override { start(); }
};

TEST_P(CountingTest, AFormMayBeginAfterAText) {
  Structure later = regex("[0-9]{3}");
  later.begins_after = "WX";
  const Generation result = answer("T", {.max_new_tokens = 20, .structure = later});
  EXPECT_TRUE(std::regex_match(result.text, std::regex("UVWX[0-9]{3}"))) << result.text;
  EXPECT_EQ(result.finish_reason, "stop");
}

TEST_P(CountingTest, StopTextsEndItBefore) {
  const Generation result =
      answer("a", {.max_new_tokens = 20, .stop = {"de"}, .structure = regex("[a-z]{10}")});
  EXPECT_EQ(result.text, "bc");
  EXPECT_EQ(result.finish_reason, "stop");
}

TEST_P(CountingTest, WhatTheTokenizerHasNotIsNeverSaid) {
  // '~' would be followed by the end token, "true" and the rest.
  const Generation result =
      answer("}", {.max_new_tokens = 8, .ignore_eos = true, .structure = regex("[^a]{8}")});
  EXPECT_EQ(result.ids.size(), 8U);
  for (const int32_t id : result.ids) EXPECT_TRUE(id != kEndToken && id < kUnnamedId) << id;
}

TEST_P(CountingTest, WhatNoTokenLeadsToEndsAsAnError) {
  const Generation result = answer("a", {.max_new_tokens = 8, .structure = regex("ab\\x01")});
  EXPECT_EQ(result.finish_reason, "error");
  EXPECT_NE(result.error.find("structured answer"), std::string::npos) << result.error;
}

TEST_P(CountingTest, TheSequenceHoldsTheAnswer) {
  const auto conversation = sequence();
  Heard heard;
  engine_->submit({.request = {.prompt = letters("a"),
                               .sampling = {.max_new_tokens = 9, .structure = regex("[0-9]{3}")},
                               .sink = into(heard)},
                   .sequence = conversation});
  run();
  expect_computed(*conversation);
  EXPECT_EQ(std::ssize(go_on(conversation, letters("a"), 4).tokens), 4);
}

/// Whose forms turn out to be too much while an answer is under way.
class FailingGuides final : public GuideMaker {
 public:
  std::shared_ptr<const CompiledStructure> compile(const Structure&,
                                                   const std::stop_token&) override {
    return nullptr;
  }
  std::shared_ptr<const CompiledStructure> find(const Structure&) override { return nullptr; }
  std::unique_ptr<Guide> begin(const Structure&, std::span<const int32_t>) override {
    class Failing final : public Guide {
      void look_ahead(std::span<const int32_t>) override {
        if (accepted_ > 1) throw RunError({.where = "form", .what = "too much"});
      }
      bool exclude(std::span<float>) override { return true; }
      void accept(int32_t) override { ++accepted_; }
      int accepted_ = 0;
    };
    return std::make_unique<Failing>();
  }
};

TEST_P(CountingTest, AFormThatFailsAheadEndsItsOwnAnswerAlone) {
  FailingGuides guides;
  engine_.emplace(
      model_, Vocabulary{.tokenizer = tokenizer_.get(), .guides = &guides}, EngineOptions{});
  Heard held;
  Heard free;
  ask(held, letters("a"), {.max_new_tokens = 5, .structure = regex("a")});
  ask(free, letters("a"), {.max_new_tokens = 5});
  run();
  EXPECT_EQ(held.result().finish_reason, "error");
  EXPECT_NE(held.result().error.find("too much"), std::string::npos) << held.result().error;
  EXPECT_EQ(held.result().ids.size(), 2U);
  EXPECT_EQ(free.result().text, "bcdef");
}

INSTANTIATE_TEST_SUITE_P(On,
                         CountingTest,
                         testing::Values(BackendKind::scripted),
                         backend_case_name);

TEST(GuidedEngine, AFormOfAnotherModelIsRefused) {
  const auto tokenizer = testing_support::letters_tokenizer();
  ScriptedModel model({.vocab = kVocab, .context = 64});
  const auto guides = grammar::make_guides(tokenizer, model.vocab());
  const auto others = grammar::make_guides(tokenizer, model.vocab() + 100);
  Engine engine(model, Vocabulary{.tokenizer = tokenizer.get(), .guides = guides.get()}, {});
  Structure form = regex("a");
  form.compiled = others->compile(form, {});
  const Request request{.prompt = {1}, .sampling = {.structure = form}};
  EXPECT_THROW(engine.submit({.request = request}), InputError);
  guides->compile(form, {});
  EXPECT_THROW(engine.submit({.request = request}), InputError);
}

TEST(GuidedEngine, WithoutATokenizerEveryFormIsRefused) {
  ScriptedModel model({});
  const auto guides = grammar::make_guides(nullptr, model.vocab());
  Engine engine(model, Vocabulary{.guides = guides.get()}, {});
  Request request{.prompt = {1}, .sampling = {.structure = regex("a")}};
  EXPECT_THROW(engine.submit({.request = request}), InputError);
  Engine without(model, Vocabulary(), {});
  EXPECT_THROW(without.submit({.request = request}), InputError);
}

}  // namespace
}  // namespace dms::engine
