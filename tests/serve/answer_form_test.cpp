#include "serve/answer_form.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "serve/chat_form.h"
#include "serve/completion_form.h"
#include "serve/form_events.h"

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
