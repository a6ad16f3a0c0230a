#include "serve/chat_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/facts.h"
#include "serve/tokenize_request.h"

namespace dms::serve {
namespace {

using testing_support::facts;
using testing_support::refusal;

constexpr const char* kHello = R"("messages": [{"role": "user", "content": "Hello"}])";

std::string object(const std::string& fields) {
  std::string text = "{";
  text += fields;
  return text += "}";
}

ChatCompletionRequest parse(const std::string& fields) {
  return parse_chat_request(object(fields), facts());
}

TEST(ChatRequest, ReadsTextsAndPartsOfText) {
  const ChatRequest chat = parse(R"("messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
      {"role": "tool", "content": "42", "tool_call_id": "1"}])")
                               .conversation.chat;
  ASSERT_EQ(chat.messages.size(), 4U);
  EXPECT_EQ(chat.messages[0].role, "system");
  EXPECT_EQ(chat.messages[0].content, "Be brief.");
  EXPECT_EQ(chat.messages[1].content, "a\nb");
  EXPECT_EQ(chat.messages[2].content, "");
  EXPECT_EQ(chat.messages[2].tool_calls, R"([{"id":"1"}])");
  EXPECT_EQ(chat.messages[3].fields, R"({"tool_call_id":"1"})");
  EXPECT_TRUE(chat.add_generation_prompt);
  EXPECT_TRUE(chat.tools.empty());
}

TEST(ChatRequest, KeepsTheOrderOfWhatTemplatesWrite) {
  const Conversation conversation =
      parse(std::string(kHello) +
            R"(, "tools": [{"type": "function", "function": {"name": "f", "z": 1, "a": 2}}],
            "chat_template_kwargs": {"y": 1, "b": false}, "reasoning_effort": "low")")
          .conversation;
  EXPECT_EQ(conversation.chat.tools,
            R"([{"type":"function","function":{"name":"f","z":1,"a":2}}])");
  EXPECT_EQ(conversation.chat.arguments, R"({"y":1,"b":false,"reasoning_effort":"low"})");
}

TEST(ChatRequest, LogprobsAreAYesAndANumber) {
  const auto asked = [](const std::string& fields) {
    return parse(std::string(kHello) + fields).common.sampling.log_probabilities;
  };
  EXPECT_EQ(asked(""), -1);
  EXPECT_EQ(asked(R"(, "logprobs": false)"), -1);
  EXPECT_EQ(asked(R"(, "logprobs": true)"), 0);
  EXPECT_EQ(asked(R"(, "logprobs": true, "top_logprobs": 5)"), 5);
}

TEST(ChatRequest, GoesOnWithTheLastMessageWhereAsked) {
  const Conversation conversation =
      parse(std::string(kHello) + R"(, "continue_final_message": true)").conversation;
  EXPECT_TRUE(conversation.continue_final_message);
  EXPECT_FALSE(conversation.chat.add_generation_prompt);
}

TEST(ChatRequest, RefusesWhatIsWrongAndNamesIt) {
  const std::string hello = kHello;
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("model": "demo")", "messages"},
      {R"("messages": [])", "messages"},
      {R"("messages": {})", "messages"},
      {R"("messages": ["Hello"])", "messages[0]"},
      {R"("messages": [{"content": "x"}])", "messages[0].role"},
      {R"("messages": [{"role": "user"}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": 5}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": ["x"]}])", "messages[0].content[0]"},
      {R"("messages": [{"role": "user", "content": [{"type": "image_url"}]}])",
       "messages[0].content[0].type"},
      {R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
       "messages[0].content[0].text"},
      {hello + R"(, "max_tokens": 0)", "max_tokens"},
      {hello + R"(, "logprobs": 5)", "logprobs"},
      {hello + R"(, "top_logprobs": 5)", "top_logprobs"},
      {hello + R"(, "logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {hello + R"(, "tool_choice": "required")", "tool_choice"},
      {hello + R"(, "tools": {})", "tools"},
      {hello + R"(, "chat_template_kwargs": [])", "chat_template_kwargs"},
      {hello + R"(, "continue_final_message": true, "add_generation_prompt": true)",
       "continue_final_message"},
  };
  for (const auto& [fields, param] : cases) {
    SCOPED_TRACE(fields);
    const ApiError error = refusal([&fields] { parse(fields); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
  }
}

TEST(TokenizeRequest, IsATextOrAConversation) {
  const TokenizeRequest text = parse_tokenize_request(R"({"prompt": "a"})", facts());
  EXPECT_EQ(std::get<std::string>(text.input), "a");
  EXPECT_TRUE(text.add_special_tokens);
  const TokenizeRequest chat = parse_tokenize_request(
      object(std::string(kHello) + R"(, "return_token_strs": true)"), facts());
  EXPECT_EQ(std::get<Conversation>(chat.input).chat.messages.size(), 1U);
  EXPECT_FALSE(chat.add_special_tokens);
  EXPECT_TRUE(chat.return_token_strs);
  EXPECT_EQ(refusal([] { parse_tokenize_request("{}", facts()); }).param(), "prompt");
}

TEST(DetokenizeRequest, IsAListOfTheModelsTokens) {
  EXPECT_THAT(parse_detokenize_request(R"({"tokens": [0, 99]})", facts()),
              testing::ElementsAre(0, 99));
  EXPECT_EQ(refusal([] { parse_detokenize_request(R"({"tokens": [1, 100]})", facts()); }).param(),
            "tokens[1]");
  EXPECT_EQ(refusal([] { parse_detokenize_request("{}", facts()); }).param(), "tokens");
}

}  // namespace
}  // namespace dms::serve
