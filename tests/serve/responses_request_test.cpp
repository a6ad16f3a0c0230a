#include "serve/apis/responses_request.h"

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

ResponsesRequest parse(const std::string& fields) {
  return read_responses_request(parse_body("{" + fields + "}", facts().limits), facts().limits);
}

std::string messages_of(const std::string& fields) {
  return json_text(parse(fields).chat.json["messages"]);
}

/// The chat completion that it comes to.
ChatCompletionRequest read(const std::string& fields) {
  const ResponsesRequest request = parse(fields);
  try {
    return read_chat_request(Fields(request.chat.json, ""), facts());
  } catch (const ApiError& error) {
    throw request.chat.names.rename(error);
  }
}

TEST(ResponsesRequest, ATextIsTheUsersMessage) {
  EXPECT_EQ(messages_of(R"("input": "Hello")"), R"([{"role":"user","content":"Hello"}])");
  EXPECT_EQ(messages_of(R"("input": "Hello", "instructions": "Be brief.")"),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}])");
}

TEST(ResponsesRequest, AllThatIsSaidBeforeTheFirstTurnIsOneSystemMessage) {
  EXPECT_EQ(messages_of(R"("instructions": "a", "input": [
                {"type": "message", "role": "developer", "content": "b"},
                {"role": "system", "content": [{"type": "input_text", "text": "c"}]},
                {"role": "user", "content": "d"}, {"role": "developer", "content": "e"}])"),
            R"([{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},)"
            R"({"type":"text","text":"c"}]},{"role":"user","content":"d"},)"
            R"({"role":"system","content":"e"}])");
}

TEST(ResponsesRequest, ItemsOfOneTurnAreOneMessage) {
  EXPECT_EQ(
      messages_of(R"("input": [
          {"role": "user", "content": [{"type": "input_text", "text": "Look"}]},
          {"type": "reasoning", "id": "rs_1", "summary": [],
           "content": [{"type": "reasoning_text", "text": "Hm"}]},
          {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
           "content": [{"type": "output_text", "text": "I do", "annotations": []},
                       {"type": "refusal", "refusal": "not"}]},
          {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
          {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
          {"type": "function_call_output", "call_id": "c1", "output": "one"},
          {"type": "function_call_output", "call_id": "c2",
           "output": [{"type": "input_text", "text": "two"}]},
          {"role": "assistant", "content": "Done"}, {"role": "assistant", "content": "Really"}])"),
      R"([{"role":"user","content":[{"type":"text","text":"Look"}]},)"
      R"({"role":"assistant","content":[{"type":"text","text":"I do"},{"type":"text","text":)"
      R"("not"}],"reasoning_content":"Hm","tool_calls":[{"id":"c1","type":"function","function":)"
      R"({"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","type":"function","function":{"name":)"
      R"("g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"one"},)"
      R"({"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},)"
      R"({"role":"assistant","content":"Done"},{"role":"assistant","content":"Really"}])");
}

TEST(ResponsesRequest, WhatWasSaidBehindCallsIsOfTheirTurn) {
  const std::string call =
      R"({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},)";
  const std::string result =
      R"({"type": "function_call_output", "call_id": "c1", "output": "one"}])";
  const std::string calls =
      R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}])";
  const std::string told = R"({"role":"tool","tool_call_id":"c1","content":"one"}])";
  EXPECT_EQ(messages_of(R"("input": [)" + call + R"({"role": "assistant", "content": "I look"},)" +
                        result),
            R"([{"role":"assistant","content":"I look",)" + calls + "}," + told);
  EXPECT_EQ(messages_of(R"("input": [{"role": "assistant", "content": "a"},)" + call +
                        R"({"role": "assistant", "content": "b"},)" + result),
            R"([{"role":"assistant","content":[{"type":"text","text":"a"},)"
            R"({"type":"text","text":"b"}],)" +
                calls + "}," + told);
}

TEST(ResponsesRequest, ThoughtsThatLedToNothingAreDropped) {
  EXPECT_EQ(messages_of(R"("input": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"role": "user", "content": "b"}])"),
            R"([{"role":"user","content":"b"}])");
}

TEST(ResponsesRequest, ThoughtsOfManyItemsAreOneText) {
  EXPECT_EQ(messages_of(R"("input": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "c"}]},
                {"role": "assistant", "content": "d"}])"),
            R"([{"role":"assistant","content":"d","reasoning_content":"a\nb\nc"}])");
}

TEST(ResponsesRequest, FieldsGoWhereChatHasThem) {
  const ResponsesRequest request = parse(
      R"("input": "a", "model": "demo", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.9,
         "seed": 3, "stream": true, "reasoning": {"effort": "low", "summary": "auto"},
         "parallel_tool_calls": false, "dms": {"window": 8}, "store": false, "user": "u",
         "truncation": "auto", "include": ["reasoning.encrypted_content"], "top_logprobs": 0,
         "background": false, "prompt_cache_key": "k", "stream_options": {},
         "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n",
                  "strict": true, "schema": {"type": "object"}}},
         "tools": [{"type": "function", "name": "f", "description": "d", "strict": true,
                    "parameters": {"z": 1, "a": 2}}],
         "tool_choice": {"type": "function", "name": "f"}, "metadata": {"k": "v"})");
  EXPECT_EQ(json_text(request.chat.json),
            R"({"model":"demo","stream":true,"temperature":0.5,"top_p":0.9,"seed":3,"dms":)"
            R"({"window":8},"max_tokens":9,"reasoning_effort":"low","response_format":{"type":)"
            R"("json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},)"
            R"("tools":[{"type":"function","function":{"name":"f","description":"d",)"
            R"("parameters":{"z":1,"a":2},"strict":true}}],"tool_choice":{"type":"function",)"
            R"("function":{"name":"f"}},"parallel_tool_calls":false,"messages":[{"role":"user",)"
            R"("content":"a"}]})");
  EXPECT_EQ(request.echo["metadata"], (OutJson{{"k", "v"}}));
  EXPECT_EQ(request.echo["max_output_tokens"], 9);
  EXPECT_EQ(request.echo["tools"][0]["name"], "f");
  EXPECT_EQ(request.echo["truncation"], "disabled");
  EXPECT_EQ(request.echo["reasoning"], (OutJson{{"effort", "low"}, {"summary", "auto"}}));
  EXPECT_EQ(request.echo["text"]["verbosity"], "low");
  EXPECT_EQ(parse(R"("input": "a")").echo["tool_choice"], "auto");
}

TEST(ResponsesRequest, WhatIsNotKnownIsNotToldAgain) {
  const OutJson echo = parse(R"("input": "a", "reasoning": {"effort": "low", "x": [1]},
                                "text": {"x": 1})")
                           .echo;
  EXPECT_EQ(echo["reasoning"], (OutJson{{"effort", "low"}, {"summary", nullptr}}));
  EXPECT_EQ(echo["text"]["format"]["type"], "text");
  EXPECT_FALSE(echo["text"].contains("x"));
}

TEST(ResponsesRequest, TextIsTheFormatThatNeedsNoWord) {
  EXPECT_FALSE(parse(R"("input": "a", "text": {"format": {"type": "text"}})")
                   .chat.json.contains("response_format"));
  EXPECT_EQ(parse(R"("input": "a", "text": {"format": {"type": "json_object"}})")
                .chat.json["response_format"],
            (OutJson{{"type", "json_object"}}));
}

TEST(ResponsesRequest, RefusesWhatIsWrongAndNamesItAsTheCallerDoes) {
  const std::string hello = R"("input": "a", )";
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("model": "demo")", "input"},
      {R"("input": 5)", "input"},
      {R"("input": [])", "input"},
      {R"("input": {})", "input"},
      {R"("input": [5])", "input[0]"},
      {R"("input": [{}])", "input[0].type"},
      {R"("input": [{"type": 5}])", "input[0].type"},
      {R"("input": [{"type": "item_reference", "id": "x"}])", "input[0].type"},
      {R"("input": [{"type": "web_search_call"}])", "input[0].type"},
      {R"("input": [{"role": "user"}])", "input[0].content"},
      {R"("input": [{"role": "user", "content": 5}])", "input[0].content"},
      {R"("input": [{"role": "user", "content": [5]}])", "input[0].content[0]"},
      {R"("input": [{"role": "robot", "content": "a"}])", "input[0].role"},
      {R"("input": [{"role": "user", "content": [{"type": "input_image"}]}])",
       "input[0].content[0].type"},
      {R"("input": [{"role": "user", "content": [{"type": "input_text"}]}])",
       "input[0].content[0].text"},
      {R"("input": [{"type": "function_call", "name": "f", "arguments": "{}"}])",
       "input[0].call_id"},
      {R"("input": [{"type": "function_call", "call_id": "c", "name": "", "arguments": "{}"}])",
       "input[0].name"},
      {R"("input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}])",
       "input[0].arguments"},
      {R"("input": [{"type": "function_call_output", "call_id": "c"}])", "input[0].output"},
      {R"("input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}])",
       "input[0].summary[0].text"},
      {hello + R"("instructions": 5)", "instructions"},
      {hello + R"("max_output_tokens": 0)", "max_output_tokens"},
      {hello + R"("max_output_tokens": "many")", "max_output_tokens"},
      {hello + R"("temperature": -1)", "temperature"},
      {hello + R"("store": true)", "store"},
      {hello + R"("previous_response_id": "resp_1")", "previous_response_id"},
      {hello + R"("conversation": "c")", "conversation"},
      {hello + R"("background": true)", "background"},
      {hello + R"("top_logprobs": 2)", "top_logprobs"},
      {hello + R"("moderation": {"model": "m"})", "moderation"},
      {hello + R"("prompt_cache_options": {"prewarm": true})", "prompt_cache_options.prewarm"},
      {hello + R"("max_tokens": 5)", "max_tokens"},
      {hello + R"("response_format": {"type": "json_object"})", "response_format"},
      {hello + R"("bad_words": ["a"])", "bad_words"},
      {hello + R"("include": ["message.output_text.logprobs"])", "include[0]"},
      {hello + R"("include": "all")", "include"},
      {hello + R"("reasoning": "low")", "reasoning"},
      {hello + R"("reasoning": {"effort": 5})", "reasoning.effort"},
      {hello + R"("text": [])", "text"},
      {hello + R"("text": {"format": {"type": "xml"}})", "text.format.type"},
      {hello + R"("text": {"format": {"type": "json_schema", "name": "n"}})", "text.format.schema"},
      {hello + R"("tools": {})", "tools"},
      {hello + R"("tools": [{"type": "web_search"}])", "tools[0].type"},
      {hello + R"("tools": [{"type": "function"}])", "tools[0].name"},
      {hello + R"("tools": [{"type": "function", "name": "f", "parameters": []}])",
       "tools[0].parameters"},
      {hello + R"("tool_choice": "any")", "tool_choice"},
      {hello + R"("tool_choice": {"type": "allowed_tools"})", "tool_choice.type"},
      {hello + R"("tool_choice": {"type": "function"})", "tool_choice.name"},
      {hello + R"("parallel_tool_calls": "no")", "parallel_tool_calls"},
      {hello + R"("metadata": [])", "metadata"},
      {hello + R"("metadata": {"a": 5})", "metadata.a"},
      {hello + R"("user": 5)", "user"},
      {hello + R"("user": ")" + std::string(2049, 'u') + "\"", "user"},
      {hello + R"("dms": {"report": true})", "dms.report"},
      {hello + R"("dms": {"polcy": "none"})", "dms.polcy"},
  };
  for (const auto& [fields, param] : cases) {
    SCOPED_TRACE(fields);
    const ApiError error = refusal([&fields] { read(fields); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
    EXPECT_TRUE(std::string(error.what()).starts_with(param)) << error.what();
  }
  EXPECT_EQ(refusal([&] { read(hello + R"("model": "gpt-5")"); }).status(), 404);
}

TEST(FieldNames, SpeaksOfTheFieldThatAMessageWasMadeOf) {
  const ResponsesRequest request = parse(
      R"("instructions": "i", "input": [{"role": "user", "content": "a"},
         {"type": "reasoning", "summary": [{"text": "b"}]},
         {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}])");
  const auto renamed = [&](const std::string& param) {
    return request.chat.names.rename(ApiError(400, param + ": bad", param)).param();
  };
  EXPECT_EQ(renamed("messages[0].content"), "instructions");
  EXPECT_EQ(renamed("messages[1]"), "input[0]");
  EXPECT_EQ(renamed("messages[2].tool_calls[0].function.name"), "input[1]");
  EXPECT_EQ(renamed("messages[3]"), "input[3]");
  EXPECT_EQ(renamed("messages"), "input");
  EXPECT_EQ(renamed("tools[3].function.parameters.type"), "tools[3].parameters.type");
  EXPECT_EQ(renamed("tools[3].function.name"), "tools[3].name");
  EXPECT_EQ(renamed("response_format.json_schema.schema"), "text.format.schema");
  EXPECT_EQ(renamed("max_tokens"), "max_output_tokens");
  EXPECT_EQ(renamed("max_tokens_of_mine"), "max_tokens_of_mine");
  EXPECT_STREQ(
      request.chat.names.rename(ApiError(400, "max_tokens: max_tokens", "max_tokens")).what(),
      "max_output_tokens: max_tokens");
}

}  // namespace
}  // namespace dms::serve
