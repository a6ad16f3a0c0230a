#include "serve/answer_form.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "serve/chat_form.h"
#include "serve/completion_form.h"
#include "serve/form_events.h"
#include "serve/stop_text.h"

namespace dms::serve {
namespace {

using testing_support::finished;
using testing_support::head;
using testing_support::texts;
using testing_support::token;

TEST(ChatForm, StreamsARoleThenTextThenTheReason) {
  ChatForm form(head(), texts(), 1, {});
  EXPECT_EQ(json_text(*form.begin(0)),
            R"({"id":"x-1","object":"chat.completion.chunk","created":7,"model":"demo","choices":)"
            R"([{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,)"
            R"("finish_reason":null}]})");
  EXPECT_EQ(form.token(0, token("Hel")).at(0)["choices"][0]["delta"]["content"], "Hel");
  EXPECT_TRUE(form.token(0, token("")).empty());
  const OutJson last = form.finish(0, finished("lo", "Hello")).at(0);
  EXPECT_EQ(last["choices"][0]["delta"]["content"], "lo");
  EXPECT_EQ(last["choices"][0]["finish_reason"], "stop");
}

TEST(ChatForm, PartsThoughtsFromTheAnswer) {
  ChatForm form(head(), texts(), 1, {});
  const auto delta = [&form](const std::string& text) {
    return form.token(0, token(text)).at(0)["choices"][0]["delta"];
  };
  EXPECT_TRUE(form.token(0, token("<thi")).empty());
  EXPECT_EQ(delta("nk>Hm"), (OutJson{{"reasoning_content", "Hm"}}));
  EXPECT_EQ(delta("!</think>\n\nYes"), (OutJson{{"reasoning_content", "!"}, {"content", "Yes"}}));
  const FinishedEvent end = finished(".", "");
  form.finish(0, end);
  const OutJson whole = form.whole({&end.result, 1}, {});
  EXPECT_EQ(whole["choices"][0]["message"],
            (OutJson{{"role", "assistant"}, {"content", "Yes."}, {"reasoning_content", "Hm!"}}));
}

TEST(ChatForm, CountsTheTokensOfThoughts) {
  ChatForm form(head(), texts(), 2, {});
  for (const char* text : {"<think>", "Hm", "", "</think>", "Yes", "!"}) {
    form.token(0, token(text));
  }
  form.token(1, token("No"));
  const OutJson usage = form.usage_chunk({})["usage"];
  EXPECT_EQ(usage["completion_tokens_details"]["reasoning_tokens"], 4);
}

TEST(ChatForm, NamesTheStopTextThatEndedTheAnswer) {
  ChatForm form(head(), texts(), 1, {.stops = {"of", "wood"}});
  FinishedEvent end = finished("", "out ");
  end.result.ids = texts().tokenizer().encode("out of the wood", false);
  EXPECT_EQ(form.finish(0, end).back()["choices"][0]["stop_reason"], "of");
  EXPECT_EQ(form.whole({&end.result, 1}, {})["choices"][0]["stop_reason"], "of");
  end.result.text = "out of the wood";
  EXPECT_FALSE(form.finish(0, end).back()["choices"][0].contains("stop_reason"));
}

TEST(ChatForm, AnEndTokenIsNoStopText) {
  const int32_t eos = *texts().tokenizer().eos_id();
  const std::string spelling = texts().tokenizer().token(eos)->text;
  for (const bool ends : {false, true}) {
    ChatFormOptions options{.stops = {spelling}};
    if (ends) options.end_ids = {eos};
    ChatForm form(head(), texts(), 1, options);
    FinishedEvent end = finished("", "");
    end.result.ids = {eos};
    EXPECT_EQ(form.finish(0, end).back()["choices"][0].contains("stop_reason"), !ends);
  }
}

TEST(StopText, IsTheOneThatEndsFirstWhereTheTextEnds) {
  const Tokenizer tokenizer = texts().tokenizer();
  Generation answer = finished("", "out ").result;
  answer.ids = tokenizer.encode("out of the wood", false);
  const auto stop = [&](const std::vector<std::string>& stops,
                        const std::vector<int32_t>& end_ids = {}) {
    return stop_text_of(answer, stops, end_ids, tokenizer).value_or("none");
  };
  EXPECT_EQ(stop({"of the", "of", "of t"}), "of");
  EXPECT_EQ(stop({"wood", "the"}), "none");
  EXPECT_EQ(stop({}), "none");
  answer.text = " out ";
  EXPECT_EQ(stop({"of"}), "of");
  answer.ids.push_back(*tokenizer.eos_id());
  EXPECT_EQ(stop({"of"}), "of");
  answer.text = "out of the wood";
  EXPECT_EQ(stop({"of", tokenizer.token(*tokenizer.eos_id())->text}),
            tokenizer.token(*tokenizer.eos_id())->text);
  EXPECT_EQ(stop({tokenizer.token(*tokenizer.eos_id())->text}, {5, *tokenizer.eos_id()}), "none");
  EXPECT_EQ(stop({tokenizer.token(*tokenizer.eos_id())->text}, {answer.ids.front()}),
            tokenizer.token(*tokenizer.eos_id())->text);
  answer.finish_reason = "length";
  EXPECT_EQ(stop({tokenizer.token(*tokenizer.eos_id())->text}), "none");
  answer.finish_reason = "stop";
  answer.text = "another text";
  EXPECT_EQ(stop({"of"}), "none");
}

TEST(ChatForm, TokensWithoutTextGoWithTheNextChunk) {
  ChatForm form(head(), texts(), 1, {.log_probabilities = true});
  EXPECT_TRUE(form.token(0, token("", 9)).empty());
  const OutJson chunk = form.token(0, token("a", 10)).at(0);
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["content"].size(), 2U);
  EXPECT_TRUE(form.finish(0, finished("", "a")).at(0)["choices"][0]["logprobs"].is_null());
}

TEST(CompletionForm, EchoesEachAnswersOwnPrompt) {
  CompletionForm form(head(), texts(), 4, {.answers = 2, .echoed = {{.text = "p"}, {.text = "q"}}});
  std::vector<Generation> answers(4, finished("", "!").result);
  const OutJson whole = form.whole(answers, {});
  EXPECT_EQ(whole["object"], "text_completion");
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(whole["choices"][i]["text"], i < 2 ? "p!" : "q!");
    EXPECT_EQ(whole["choices"][i]["index"], i);
  }
  EXPECT_EQ((*form.begin(2))["choices"][0]["text"], "q");
}

TEST(Usage, CountsAPromptOnce) {
  Usage usage;
  Generation answer = finished("", "").result;
  answer.cached_tokens = 2;
  answer.drafted_tokens = 5;
  answer.accepted_tokens = 3;
  answer.kv.dense_tokens = 10;
  answer.kv.held_tokens = 4;
  answer.kv.allocated_bytes = 64;
  usage.add(answer, true);
  usage.add(answer, false);
  EXPECT_EQ(
      json_text(usage_json(usage)),
      R"({"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":)"
      R"({"cached_tokens":2},"completion_tokens_details":)"
      R"({"accepted_prediction_tokens":6,"rejected_prediction_tokens":4},"dms":{"dense_tokens":20,"held_tokens":8,"bytes":128}})");
}

TEST(AnswerForm, WhatEndedEarlyIsAnAbort) {
  EXPECT_EQ(api_finish_reason("stop"), "stop");
  EXPECT_EQ(api_finish_reason("length"), "length");
  EXPECT_EQ(api_finish_reason("deadline"), "abort");
  EXPECT_EQ(api_finish_reason("cancelled"), "abort");
}

TEST(AnswerForm, IdsAreEachTheirOwn) { EXPECT_NE(new_answer_id("a"), new_answer_id("a")); }

}  // namespace
}  // namespace dms::serve
