#include "serve/apis/messages_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/chat_request.h"
#include "serve/facts.h"

namespace dms::serve {
namespace {

using testing_support::facts;
using testing_support::refusal;

constexpr const char* kHello = R"("max_tokens": 4, "messages": [{"role": "user", "content": "a"}])";

ChatBody parse(const std::string& fields) {
  return read_messages_request(parse_body("{" + fields + "}", facts().limits), facts().limits);
}

OutJson parse_more(const std::string& fields) {
  return parse(std::string(kHello) + ", " + fields).json;
}

std::string messages_of(const std::string& messages) {
  return json_text(parse(R"("max_tokens": 4, "messages": )" + messages).json["messages"]);
}

/// The chat completion that it comes to.
ChatCompletionRequest read(const std::string& fields) {
  const ChatBody request = parse(fields);
  try {
    return read_chat_request(Fields(request.json, ""), facts());
  } catch (const ApiError& error) {
    throw request.names.rename(error);
  }
}

TEST(MessagesRequest, TheSystemPromptIsTheFirstMessage) {
  EXPECT_EQ(json_text(parse_more(R"("system": "Be brief.")")["messages"]),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"a"}])");
  EXPECT_EQ(json_text(parse_more(R"("system": [{"type": "text", "text": "b",
                              "cache_control": {"type": "ephemeral"}}])")["messages"][0]),
            R"({"role":"system","content":[{"type":"text","text":"b"}]})");
}

TEST(MessagesRequest, BlocksAreTextsThoughtsCallsAndResults) {
  EXPECT_EQ(
      messages_of(R"([
          {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
          {"role": "assistant", "content": [
              {"type": "thinking", "thinking": "Hm", "signature": ""},
              {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "I look"},
              {"type": "tool_use", "id": "t1", "name": "f", "input": {"z": 1, "a": [2]}},
              {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
          {"role": "user", "content": [
              {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
              {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
               "content": [{"type": "text", "text": "two"}]},
              {"type": "text", "text": "c"}]},
          {"role": "system", "content": "d"}, {"role": "user", "content": []}])"),
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
      R"({"role":"assistant","content":[{"type":"text","text":"I look"}],"tool_calls":[{"id":)"
      R"("t1","type":"function","function":{"name":"f","arguments":"{\"z\":1,\"a\":[2]}"}},)"
      R"({"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}],)"
      R"("reasoning_content":"Hm"},{"role":"tool","tool_call_id":"t1","content":"one"},)"
      R"({"role":"tool","tool_call_id":"t2","content":[{"type":"text","text":"two"}]},)"
      R"({"role":"user","content":[{"type":"text","text":"c"}]},)"
      R"({"role":"system","content":"d"},{"role":"user","content":[{"type":"text","text":""}]}])");
}

TEST(MessagesRequest, TextOfTheAssistantAtTheEndIsGoneOnWith) {
  const auto goes_on = [](const std::string& last) {
    return parse(R"("max_tokens": 4, "messages": [{"role": "user", "content": "a"}, )" + last + "]")
        .json.contains("continue_final_message");
  };
  EXPECT_TRUE(goes_on(R"({"role": "assistant", "content": "b"})"));
  EXPECT_TRUE(goes_on(R"({"role": "assistant", "content": [{"type": "text", "text": "b"}]})"));
  EXPECT_FALSE(goes_on(R"({"role": "user", "content": "b"})"));
  EXPECT_FALSE(goes_on(R"({"role": "assistant", "content": [
                           {"type": "tool_use", "id": "t", "name": "f", "input": {}}]})"));
}

TEST(MessagesRequest, FieldsGoWhereChatHasThem) {
  EXPECT_EQ(
      json_text(parse_more(
          R"("model": "demo", "stream": true, "temperature": 0.5, "top_p": 0.9, "top_k": 5,
             "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "dms": {"window": 8},
             "service_tier": "auto", "thinking": {"type": "enabled", "budget_tokens": 1024},
             "output_config": {"effort": "low", "format": {"type": "json_schema",
                               "schema": {"type": "object"}}},
             "tools": [{"name": "f", "description": "d", "input_schema": {"z": 1, "a": 2},
                        "cache_control": null}],
             "tool_choice": {"type": "any", "disable_parallel_tool_use": true})")),
      R"({"model":"demo","stream":true,"temperature":0.5,"top_p":0.9,"top_k":5,"dms":{"window":8},)"
      R"("tools":[{"type":"function","function":{"name":"f","description":"d","parameters":)"
      R"({"z":1,"a":2}}}],"tool_choice":"required","parallel_tool_calls":false,)"
      R"("chat_template_kwargs":{"enable_thinking":true},"reasoning_effort":"low",)"
      R"("response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":)"
      R"({"type":"object"}}},"messages":[{"role":"user","content":"a"}],"max_tokens":4,)"
      R"("stop":["END"]})");
}

TEST(MessagesRequest, ToolsAreChosenInOpenAisWords) {
  const auto choice = [](const std::string& given) {
    return json_text(parse_more(R"("tool_choice": )" + given)["tool_choice"]);
  };
  EXPECT_EQ(choice(R"({"type": "auto"})"), R"("auto")");
  EXPECT_EQ(choice(R"({"type": "none"})"), R"("none")");
  EXPECT_EQ(choice(R"({"type": "tool", "name": "f"})"),
            R"({"type":"function","function":{"name":"f"}})");
}

TEST(MessagesRequest, ThinkingIsTheTemplatesMatter) {
  const auto arguments = [](const std::string& fields) {
    return json_text(parse_more(fields)["chat_template_kwargs"]);
  };
  EXPECT_EQ(arguments(R"("thinking": {"type": "disabled"})"), R"({"enable_thinking":false})");
  EXPECT_EQ(arguments(R"("thinking": {"type": "adaptive"})"), R"({"enable_thinking":true})");
  EXPECT_EQ(arguments(R"("thinking": {"type": "enabled"}, "chat_template_kwargs": {"a": 1})"),
            R"({"a":1,"enable_thinking":true})");
  EXPECT_EQ(arguments(R"("top_k": 1)"), "null");
}

TEST(MessagesRequest, BlocksCountThatBecomeMessages) {
  const auto results = [](size_t count) {
    std::string blocks;
    for (size_t i = 0; i < count; ++i) {
      blocks += i == 0 ? "" : ", ";
      blocks += R"({"type": "tool_result", "tool_use_id": "t", "content": "a"})";
    }
    return R"([{"role": "user", "content": [)" + blocks + "]}]";
  };
  const size_t most = facts().limits.messages;
  EXPECT_NO_THROW(messages_of(results(most)));
  EXPECT_EQ(refusal([&] { messages_of(results(most + 1)); }).param(), "messages");
}

TEST(MessagesRequest, WhoCountsAsksForNoAnswer) {
  const OrderedJson body = parse_body(R"({"messages": [{"role": "user", "content": "a"}]})", {});
  EXPECT_FALSE(read_count_request(body, {}).json.contains("max_tokens"));
  EXPECT_EQ(refusal([&] { read_messages_request(body, {}); }).param(), "max_tokens");
}

TEST(MessagesRequest, ThreadsAreRefusedInTheWordsThatTheClientGoesOnWithout) {
  const ApiError error = refusal([] { parse_more(R"("thread": {"type": "create"})"); });
  EXPECT_EQ(json_text(error.body(ErrorForm::kAnthropic)["error"]["details"]),
            R"({"error_code":"thread_unsupported_request","unsupported":["thread"]})");
  EXPECT_NO_THROW(parse_more(R"("thread": null)"));
}

TEST(MessagesRequest, PassesOverWhatChangesNoAnswer) {
  const char* hints =
      R"("cache_control": {"type": "ephemeral"}, "context_management": {"edits": []},
                         "fallbacks": [{"model": "b"}], "speed": "fast", "inference_geo": "eu",
                         "billing_policy": {"bill_to": "self"}, "service_tier": "auto", "n": 1,
                         "diagnostics": {"previous_message_id": null})";
  EXPECT_EQ(json_text(parse_more(hints)), json_text(parse(kHello).json));
}

TEST(MessagesRequest, RefusesWhatIsWrongAndNamesItAsTheCallerDoes) {
  const std::string hello = std::string(kHello) + ", ";
  const auto content = [](const std::string& role, const std::string& blocks) {
    return R"("max_tokens": 4, "messages": [{"role": ")" + role + R"(", "content": )" + blocks +
           "}]";
  };
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("max_tokens": 4)", "messages"},
      {R"("max_tokens": 4, "messages": [])", "messages"},
      {R"("max_tokens": 4, "messages": "a")", "messages"},
      {R"("max_tokens": 4, "messages": [5])", "messages[0]"},
      {R"("max_tokens": 4, "messages": [{"content": "a"}])", "messages[0].role"},
      {R"("max_tokens": 4, "messages": [{"role": "user"}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": "a"}])", "max_tokens"},
      {R"("max_tokens": 0, "messages": [{"role": "user", "content": "a"}])", "max_tokens"},
      {R"("max_tokens": "4", "messages": [{"role": "user", "content": "a"}])", "max_tokens"},
      {content("tool", R"("a")"), "messages[0].role"},
      {content("tool", "[]"), "messages[0].role"},
      {content("user", "5"), "messages[0].content"},
      {content("user", "[5]"), "messages[0].content[0]"},
      {content("user", R"([{"type": "image", "source": {}}])"), "messages[0].content[0].type"},
      {content("user", R"([{"type": "document"}])"), "messages[0].content[0].type"},
      {content("user", R"([{"type": "text"}])"), "messages[0].content[0].text"},
      {content("user", R"([{"type": "tool_result"}])"), "messages[0].content[0].tool_use_id"},
      {content("user", R"([{"type": "tool_result", "tool_use_id": "t", "content": 5}])"),
       "messages[0].content[0].content"},
      {content("user", R"([{"type": "tool_result", "tool_use_id": "t",
                            "content": [{"type": "image"}]}])"),
       "messages[0].content[0].content[0].type"},
      {content("assistant", R"([{"type": "tool_result"}])"), "messages[0].content[0].type"},
      {content("assistant", R"([{"type": "thinking"}])"), "messages[0].content[0].thinking"},
      {content("assistant", R"([{"type": "tool_use", "name": "f"}])"), "messages[0].content[0].id"},
      {content("assistant", R"([{"type": "tool_use", "id": "t", "name": ""}])"),
       "messages[0].content[0].name"},
      {content("assistant", R"([{"type": "tool_use", "id": "t", "name": "f", "input": "x"}])"),
       "messages[0].content[0].input"},
      {hello + R"("system": 5)", "system"},
      {hello + R"("system": [{"type": "image"}])", "system[0].type"},
      {hello + R"("stop_sequences": "END")", "stop_sequences"},
      {hello + R"("stop_sequences": [5])", "stop_sequences"},
      {hello + R"("stop_sequences": [""])", "stop_sequences"},
      {hello + R"("tools": {})", "tools"},
      {hello + R"("tools": [{"type": "bash_20250124", "name": "bash"}])", "tools[0].type"},
      {hello + R"("tools": [{"name": "f"}])", "tools[0].input_schema"},
      {hello + R"("tools": [{"input_schema": {}}])", "tools[0].name"},
      {hello + R"("tool_choice": "auto")", "tool_choice"},
      {hello + R"("tool_choice": {"type": "required"})", "tool_choice.type"},
      {hello + R"("tool_choice": {"type": "tool"})", "tool_choice.name"},
      {hello + R"("tool_choice": {"type": "auto", "disable_parallel_tool_use": 1})",
       "tool_choice.disable_parallel_tool_use"},
      {hello + R"("thinking": "enabled")", "thinking"},
      {hello + R"("thinking": {"type": "much"})", "thinking.type"},
      {hello + R"("thinking": {"type": "enabled"}, "chat_template_kwargs": [])",
       "chat_template_kwargs"},
      {hello + R"("output_config": {"effort": 5})", "output_config.effort"},
      {hello + R"("output_config": {"format": {"type": "text"}})", "output_config.format.type"},
      {hello + R"("output_config": {"format": {"type": "json_schema"}})",
       "output_config.format.schema"},
      {hello + R"("metadata": "u")", "metadata"},
      {hello + R"("mcp_servers": [{"url": "x"}])", "mcp_servers"},
      {hello + R"("container": "x")", "container"},
      {hello + R"("thread": {"type": "create"})", "thread"},
      {hello + R"("compaction": {"type": "enabled"})", "compaction"},
      {hello + R"("output_format": {"type": "json_schema", "schema": {}})", "output_format"},
      {hello + R"("stop": ["END"])", "stop"},
      {hello + R"("min_tokens": 3)", "min_tokens"},
      {hello + R"("response_format": {"type": "json_object"})", "response_format"},
      {hello + R"("n": 2)", "n"},
      {hello + R"("dms": {"report": true})", "dms.report"},
      {hello + R"("top_k": "all")", "top_k"},
      {hello + R"("stream": 1)", "stream"},
  };
  for (const auto& [fields, param] : cases) {
    SCOPED_TRACE(fields);
    const ApiError error = refusal([&fields] { read(fields); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
    EXPECT_TRUE(std::string(error.what()).starts_with(param)) << error.what();
  }
}

}  // namespace
}  // namespace dms::serve
