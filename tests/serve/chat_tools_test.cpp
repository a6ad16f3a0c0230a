// Calls of tools in a chat's answers, whole and as chunks.

#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "serve/apis/responses_writer.h"
#include "serve/chat_chunks.h"
#include "serve/chat_form.h"
#include "serve/form_events.h"
#include "serve/tool_fixture.h"
#include "support/temp_folder.h"

namespace dms::serve {
namespace {

using testing_support::finished;
using testing_support::head;
using testing_support::texts;
using testing_support::token;

constexpr const char* kTwoCalls = R"(<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>)"
                                  R"(<tool_call>{"name": "weather", "arguments": {}}</tool_call>)";

ChatForm form_of(std::string_view form,
                 int64_t choices = 1,
                 bool is_parallel = true,
                 ChatFormOptions options = {}) {
  options.tools = ToolCallOptions{
      .form = find_tool_form(form), .tools = testing_support::tools(), .is_parallel = is_parallel};
  return {head(), texts(), choices, options};
}

constexpr int32_t kTag = 2;

/// Of a tokenizer whose token 2 is a family's tag.
TokenTexts tagged_texts(const dms::testing_support::TempFolder& folder) {
  constexpr int64_t kMostBytes = int64_t{1} << 24;
  const auto demo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo" / "tokenizer.json";
  std::string json = read_text_file(demo, kMostBytes);
  constexpr std::string_view kOther = "<|start_header_id|>";
  for (size_t at = 0; (at = json.find(kOther, at)) != std::string::npos;) {
    json.replace(at, kOther.size(), "<tool_call>");
  }
  return {Tokenizer(folder.write("tokenizer.json", json)), false};
}

std::vector<OutJson> deltas(const std::vector<OutJson>& chunks) {
  std::vector<OutJson> out;
  for (const OutJson& chunk : chunks) out.push_back(chunk["choices"][0]["delta"]);
  return out;
}

OutJson whole(ChatForm& form, const std::string& text, const std::string& reason = "stop") {
  form.token(0, token(text));
  FinishedEvent end = finished("", text);
  end.result.finish_reason = reason;
  form.finish(0, end);
  return form.whole({&end.result, 1}, {})["choices"][0];
}

TEST(ChatTools, StreamAsOpenAisDo) {
  ChatForm form = form_of("hermes");
  EXPECT_EQ(deltas(form.token(0, token("One moment.\n"))),
            (std::vector<OutJson>{{{"content", "One moment."}}}));
  EXPECT_TRUE(form.token(0, token(R"(<tool_call>{"name": "add", "arguments": )")).empty());
  const std::vector<OutJson> first = deltas(form.token(0, token(R"({"a)")));
  ASSERT_EQ(first.size(), 2U);
  const OutJson& begin = first[0]["tool_calls"][0];
  const auto id = begin["id"].get<std::string>();
  EXPECT_TRUE(std::regex_match(id, std::regex("call_[a-z0-9]{24}"))) << id;
  EXPECT_EQ(json_text(begin),
            R"({"index":0,"id":")" + id +
                R"(","type":"function","function":{"name":"add","arguments":""}})");
  EXPECT_EQ(json_text(first[1]), R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]})");
  EXPECT_EQ(json_text(deltas(form.token(0, token(R"(": 1}})"))).at(0)),
            R"({"tool_calls":[{"index":0,"function":{"arguments":"\": 1}"}}]})");
  const std::vector<OutJson> last = form.finish(0, finished("</tool_call>", ""));
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0]["choices"][0]["delta"], OutJson::object());
  EXPECT_EQ(last[0]["choices"][0]["finish_reason"], "tool_calls");
}

TEST(ChatTools, WholeAnswersHaveThemInTheMessage) {
  ChatForm form = form_of("hermes");
  const OutJson choice = whole(form, kTwoCalls);
  const OutJson& message = choice["message"];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(message["content"].is_null());
  ASSERT_EQ(message["tool_calls"].size(), 2U);
  EXPECT_EQ(message["tool_calls"][0]["type"], "function");
  EXPECT_EQ(message["tool_calls"][0]["function"],
            (OutJson{{"name", "add"}, {"arguments", R"({"a": 1})"}}));
  EXPECT_EQ(message["tool_calls"][1]["function"]["name"], "weather");
  EXPECT_NE(message["tool_calls"][0]["id"], message["tool_calls"][1]["id"]);
}

TEST(ChatTools, WithoutCallsAnAnswerIsWhatItWas) {
  ChatForm form = form_of("hermes");
  const OutJson choice = whole(form, "It rains. ");
  EXPECT_EQ(choice["message"], (OutJson{{"role", "assistant"}, {"content", "It rains. "}}));
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST(ChatTools, WhatIsCutShortSaysSo) {
  ChatForm form = form_of("hermes");
  const OutJson choice = whole(form, R"(<tool_call>{"name": "add", "arguments": {"a": )", "length");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], R"({"a": )");
}

TEST(ChatTools, AnAnswerThatStopsWithinACallDoesNotEndForIt) {
  for (const char* text : {R"(<tool_call>{"name": "add", "arguments": {"a": 1)",
                           R"(<tool_call>{"name": "add", "arguments": {}}</tool_call>)"
                           R"(<tool_call>{"name": "add", "arguments": {"a": ")"}) {
    ChatForm form = form_of("hermes");
    EXPECT_EQ(whole(form, text)["finish_reason"], "stop") << text;
  }
  ChatForm closed = form_of("hermes");
  EXPECT_EQ(whole(closed, R"(<tool_call>{"name": "add", "arguments": {"a": 1}})")["finish_reason"],
            "tool_calls");
}

TEST(ChatTools, OneCallIsEnoughWhereNoneMayBeParallel) {
  ChatForm form = form_of("hermes", 1, false);
  const OutJson message = whole(form, kTwoCalls)["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1U);
  EXPECT_TRUE(message["content"].is_null());
}

TEST(ChatTools, ThoughtsComeFirst) {
  ChatForm form = form_of("hermes");
  const OutJson message =
      whole(form, std::string("<think><tool_call>?</think>\n") + kTwoCalls)["message"];
  EXPECT_EQ(message["reasoning_content"], "<tool_call>?");
  EXPECT_EQ(message["tool_calls"].size(), 2U);
}

TEST(ChatTools, EachChoiceHasItsOwn) {
  ChatForm form = form_of("hermes", 2);
  form.token(0, token(R"(<tool_call>{"name": "add", )"));
  form.token(1, token("Nothing "));
  const auto first = form.token(0, token(R"("arguments": {}}</tool_call>)"));
  ASSERT_FALSE(first.empty());
  EXPECT_EQ(first[0]["choices"][0]["index"], 0);
  EXPECT_EQ(form.token(1, token("to call.")).at(0)["choices"][0]["delta"]["content"], " to call.");
  EXPECT_EQ(form.finish(0, finished("", "")).back()["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(form.finish(1, finished("", "")).back()["choices"][0]["finish_reason"], "stop");
}

TEST(ChatTools, EachTokensProbabilityIsToldOnce) {
  ChatForm form = form_of("hermes", 1, true, {.log_probabilities = true});
  size_t told = 0;
  const auto count = [&told](const std::vector<OutJson>& chunks) {
    for (const OutJson& chunk : chunks) {
      const OutJson& logprobs = chunk["choices"][0]["logprobs"];
      if (!logprobs.is_null()) told += logprobs["content"].size();
    }
  };
  for (const char* piece :
       {"<tool_call>", R"({"name": "add", "arguments": {)", "}}", "</tool_call>"}) {
    count(form.token(0, token(piece, 10)));
  }
  count(form.finish(0, finished("", "")));
  EXPECT_EQ(told, 4U);
}

TEST(ChatTools, TextBehindACallComesAfterIt) {
  ChatForm form = form_of("llama3_json");
  form.token(0, token(R"({"name": "add", "parameters": {"a": 1)"));
  const std::vector<OutJson> last = deltas(form.token(0, token("}}, ok")));
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(last[0]["tool_calls"][0]["function"]["arguments"], "}");
  EXPECT_EQ(last[1], (OutJson{{"content", ", ok"}}));
}

TEST(ChatTools, TextBetweenCallsEndsTheFirst) {
  ChatForm form = form_of("hermes");
  form.token(0, token(R"(<tool_call>{"name": "add", "arguments": {"a": 1)"));
  const std::vector<OutJson> last = deltas(form.token(
      0,
      token(R"(}}</tool_call>And <tool_call>{"name": "weather", "arguments": {}}</tool_call>)")));
  ASSERT_EQ(last.size(), 4U);
  EXPECT_EQ(last[0]["tool_calls"][0]["index"], 0);
  EXPECT_TRUE(last[1].contains("content"));
  EXPECT_EQ(last[2]["tool_calls"][0]["function"]["name"], "weather");
  EXPECT_EQ(last[3]["tool_calls"][0]["function"]["arguments"], "{}");
}

TEST(ChatTools, AnItemOfACallIsWholeWhateverOneTokenHas) {
  ChatForm form = form_of("llama3_json");
  ResponsesWriter writer(OutJson::object());
  std::string events;
  const auto tell = [&](const std::vector<OutJson>& chunks) {
    for (const OutJson& chunk : chunks) events += writer.chunk(chunk);
  };
  tell(form.token(0, token(R"({"name": "add", "parameters": {"a": 1)")));
  tell(form.token(0, token("}}, ok")));
  tell(form.finish(0, finished(".", "")));
  const OutJson output =
      testing_support::parse_events(events += writer.done()).back().data["response"]["output"];
  ASSERT_EQ(output.size(), 2U) << output;
  EXPECT_EQ(output[0]["name"], "add");
  EXPECT_EQ(output[0]["arguments"], R"({"a": 1})");
  EXPECT_EQ(output[1]["content"][0]["text"], ", ok.");
}

TEST(ChatTools, TextThatWasHeldBackComesBeforeTheTagThatFreesIt) {
  const dms::testing_support::TempFolder folder;
  ChatForm form(head(),
                tagged_texts(folder),
                1,
                {.tools = ToolCallOptions{.form = find_tool_form("hermes"),
                                          .tools = testing_support::tools()}});
  EXPECT_EQ(deltas(form.token(0, token("O", kTag))), (std::vector<OutJson>{{{"content", "O"}}}));
  const OutJson message = whole(form, R"({"name": "add", "arguments": {}}</tool_call>)")["message"];
  EXPECT_EQ(message["content"], "O");
  EXPECT_EQ(message["tool_calls"].size(), 1U);
}

TEST(ChatTools, MistralsTemplatesTakeShortIds) {
  ChatForm form = form_of("mistral");
  const OutJson message =
      whole(form, R"([TOOL_CALLS] [{"name": "add", "arguments": {}}])")["message"];
  const auto id = message["tool_calls"][0]["id"].get<std::string>();
  EXPECT_TRUE(std::regex_match(id, std::regex("[a-z0-9]{9}"))) << id;
}

}  // namespace
}  // namespace dms::serve
