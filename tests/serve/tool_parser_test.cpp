#include "serve/tool_parser.h"

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/tool_fixture.h"

namespace dms::serve {

namespace testing_support {
void PrintTo(const Answer& answer, std::ostream* out) {
  *out << '"' << answer.content << '"';
  for (const std::string& call : answer.calls) *out << ' ' << call;
}
}  // namespace testing_support

namespace {

using testing_support::Answer;
using testing_support::parse;
using testing_support::tools;

struct Case {
  std::string_view form;
  std::string_view text;
  std::string content;
  std::vector<std::string> calls;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      // As the families write.
      {"hermes",
       "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
       "",
       {R"(weather({"city": "Paris"}))"}},
      {"hermes",
       "Let me see.\n\n<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}}</tool_call>\n"
       "<tool_call>{\"name\":\"weather_now\",\"arguments\":{}}</tool_call>\n",
       "Let me see.",
       {R"(add({"a":1}))", "weather_now({})"}},
      {"hermes",
       R"(<tool_call>[{"name": "add", "arguments": {}}, {"name": "weather", "arguments": {}},)"
       "\n]</tool_call>",
       "",
       {"add({})", "weather({})"}},
      {"smollm2",
       "<tool_call>[\n{\"name\": \"add\", \"arguments\": {\"a\": [1, {\"b\": "
       "null}]}}\n]</tool_call>",
       "",
       {R"(add({"a": [1, {"b": null}]}))"}},
      {"mistral",
       R"([TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}, {"arguments": {}, "name": "weather"}])",
       "",
       {R"(add({"a": 1}))", "weather({})"}},
      {"mistral",
       R"([TOOL_CALLS][{"name":"add","arguments":{},"id":"abc123def"}])",
       "",
       {"add({})"}},
      {"mistral_args",
       R"(One moment.[TOOL_CALLS]weather[ARGS]{"city": "Rome"}[TOOL_CALLS]add[CALL_ID]x1[ARGS]{})",
       "One moment.",
       {R"(weather({"city": "Rome"}))", "add({})"}},
      {"granite", R"(<|tool_call|>[{"name": "add", "arguments": {}}])", "", {"add({})"}},
      {"phi4", R"(<|tool_call|>[{"name": "add", "arguments": {}}]<|/tool_call|>)", "", {"add({})"}},
      {"llama3_json", R"({"name": "add", "parameters": {"a": "1"}})", "", {R"(add({"a": "1"}))"}},
      {"llama3_json",
       R"(<|python_tag|>{"type": "function", "name": "add", "parameters": {}}; )"
       R"({"name": "weather", "parameters": {"days": 2}})",
       "",
       {"add({})", R"(weather({"days": 2}))"}},
      {"llama3_json",
       "{\"name\": \"add\", \"parameters\": {}}\n{\"name\": \"add\", \"parameters\": {}};\n",
       "",
       {"add({})", "add({})"}},
      {"qwen3_coder",
       "Well.\n<tool_call>\n<function=weather>\n<parameter=city>\nNew\nYork \"NY\"\n</parameter>\n"
       "<parameter=days>\n3\n</parameter>\n<parameter=units>12</parameter>\n<parameter=tags>\n[1, "
       "\"a\"]\n</parameter>\n</function>\n</tool_call>",
       "Well.",
       {R"(weather({"city": "New\nYork \"NY\"", "days": 3, "units": "12", "tags": [1, "a"]}))"}},
      {"qwen3_coder",
       "<tool_call>\n<function=add>\n</function>\n</tool_call>\n"
       "<tool_call><function=add><parameter=x></parameter></function></tool_call>",
       "",
       {"add({})", R"(add({"x": ""}))"}},
      {"qwen3_coder",
       "<tool_call><function=weather><parameter=scale>  C \n</parameter><parameter=city> C "
       "</parameter></function></tool_call>",
       "",
       {R"(weather({"scale": "C", "city": " C "}))"}},
      {"qwen3_coder",
       "<tool_call><function=weather><parameter=city>Par</parameter><parameter=city>Rome"
       "</parameter><parameter=days>1</parameter></function></tool_call>",
       "",
       {R"(weather({"city": "Par", "days": 1}))"}},
      {"seed_oss",
       "<seed:tool_call>\n<function=add>\n<parameter=a>\n</p>\n</parameter>\n</function>\n"
       "</seed:tool_call>",
       "",
       {R"(add({"a": "</p>"}))"}},
      {"pythonic",
       R"([weather(city="Paris", days=3), add(a=1, b=[1, -2.5e3], c={"k": True, 'l': {}}, d=None)])",
       "",
       {R"(weather({"city": "Paris", "days": 3}))",
        R"(add({"a": 1, "b": [1, -2.5e3], "c": {"k": true, "l": {}}, "d": null}))"}},
      {"pythonic", "<|python_start|>[weather_now()]<|python_end|>", "", {"weather_now({})"}},
      {"pythonic",
       "Let me see. <|python_start|>add(a='x')\nadd(b=false); add()<|python_end|>",
       "Let me see.",
       {R"(add({"a": "x"}))", R"(add({"b": false}))", "add({})"}},
      {"pythonic",
       "\n[ weather ( city = 'it\\'s \"so\"',\n tags=['a', \"b\", ], ) , add(x=[ ], y={ }) , ]",
       "",
       {R"(weather({"city": "it's \"so\"", "tags": ["a", "b"]}))", R"(add({"x": [], "y": {}}))"}},
      {"functiongemma",
       "<start_function_call>call:weather{city:<escape>New \"York\", {NY}<escape>,days:3}"
       "<end_function_call><start_function_call>call:add{}<end_function_call>",
       "",
       {R"(weather({"city": "New \"York\", {NY}", "days": 3}))", "add({})"}},
      {"functiongemma",
       "Well. <start_function_call>call:add{a:[1,<escape>x<escape>,[]],b:{k:true,<escape>l<escape>:"
       "null},c:-1.5}<end_function_call>",
       "Well.",
       {R"(add({"a": [1, "x", []], "b": {"k": true, "l": null}, "c": -1.5}))"}},
      {"smollm3",
       R"(<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><code>add(a=2)</code>)",
       "<code>add(a=2)</code>",
       {R"(add({"a": 1}))"}},
      {"smollm3_python",
       "I look it up.\n<code>\nwhere = weather(\"Paris\", days=3)\nprint(where)\n</code>",
       "I look it up.",
       {R"(weather({"city": "Paris", "days": 3}))"}},
      {"smollm3_python",
       "<code># first\nprint(add(a=1))\n\nadd ( b = [1, {'k': None}] ) # and then\n</code> Done. "
       "<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>",
       " Done.",
       {R"(add({"a": 1}))", R"(add({"b": [1, {"k": null}]}))", "weather({})"}},
      {"gemma3",
       "Sure:\n```tool_code\nweather(city='Rome')\n```",
       "Sure:",
       {R"(weather({"city": "Rome"}))"}},
      {"gemma3",
       "```tool_code\n[weather_now(), weather('Rome', -2, None, tags=[\"a\"]),]\n```\n"
       "```tool_code\nx=add(); print( x )\n```",
       "",
       {"weather_now({})",
        R"(weather({"city": "Rome", "days": -2, "units": null, "tags": ["a"]}))",
        "add({})"}},
      {"gemma3", "It is `a````tool_code\nadd()```", "It is `a`", {"add({})"}},
      // What models also do.
      {"gemma3", "```tool_code\nadd(a=1)", "", {R"(add({"a": 1}))"}},
      {"gemma3", "``tool_code ```python\nadd()\n```", "``tool_code ```python\nadd()\n```", {}},
      {"functiongemma",
       "<start_function_call>call:add{a: <escape><b> </escape> <escap<escape> }\ncall:add{}",
       "",
       {R"(add({"a": "<b> </escape> <escap"}))", "add({})"}},
      {"pythonic", "[add(a='')]\n[add(b=\"\")]", "", {R"(add({"a": ""}))", R"(add({"b": ""}))"}},
      {"pythonic",
       "[add(a=\"\"\"one\n\"two\" \"\"three\"\"\")]",
       "",
       {R"(add({"a": "one\n\"two\" \"\"three"}))"}},
      {"pythonic", "[add(a='x\ty\nz')]", "", {R"(add({"a": "x\ty\nz"}))"}},
      {"pythonic", "<|python_start|>[add()]", "", {"add({})"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>)",
       "",
       {R"(add({"a": 1}))"}},
      {"hermes", R"(<tool_call>{"name": "add"}</tool_call>)", "", {"add({})"}},
      {"llama3_json", R"(<|python_tag|>{"name": "add"})", "", {"add({})"}},
      {"hermes",
       "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n"
       "{\"name\": \"weather\", \"arguments\": {\"days\": 1}}\n</tool_call> Done.",
       " Done.",
       {"add({})", R"(weather({"days": 1}))"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": {}}{"a": 1}</tool_call>)",
       R"({"a": 1}</tool_call>)",
       {"add({})"}},
      {"hermes", R"(<tool_call>{"name": "add", "arguments": null}</tool_call>)", "", {"add({})"}},
      {"hermes", R"(<tool_call>{"name": "add", "arguments": {}})", "", {"add({})"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": {}} and so on)",
       " and so on",
       {"add({})"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": {"a": "</tool_call>"}}</tool_call> Done.)",
       " Done.",
       {R"(add({"a": "</tool_call>"}))"}},
      // No calls: text, as it was written.
      {"hermes", "Hello, <b>you</b> <tool <tool_call", "Hello, <b>you</b> <tool <tool_call", {}},
      {"hermes", "  \n", "  \n", {}},
      {"hermes", "<tool_call>[]</tool_call>", "<tool_call>[]</tool_call>", {}},
      {"hermes",
       R"(<tool_call>{"name": "rm", "arguments": {}}</tool_call>)",
       R"(<tool_call>{"name": "rm", "arguments": {}}</tool_call>)",
       {}},
      {"hermes",
       R"( <tool_call> {"name": "add", "arguments": [1]}</tool_call>)",
       R"( <tool_call> {"name": "add", "arguments": [1]}</tool_call>)",
       {}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": "no object"}</tool_call>)",
       R"(<tool_call>{"name": "add", "arguments": "no object"}</tool_call>)",
       {}},
      {"hermes",
       R"(<tool_call>{'name': 'add'}</tool_call>)",
       R"(<tool_call>{'name': 'add'}</tool_call>)",
       {}},
      {"hermes",
       R"(<tool_call>{"arguments": {"a": <tool_call>{"name": "add", "arguments": {}}</tool_call>)",
       R"(<tool_call>{"arguments": {"a": )",
       {"add({})"}},
      {"llama3_json", R"({"answer": 42})", R"({"answer": 42})", {}},
      {"llama3_json",
       R"({"name": "weather", "temperature": 21})",
       R"({"name": "weather", "temperature": 21})",
       {}},
      {"llama3_json",
       R"(Say {"name": "add", "parameters": {}})",
       R"(Say {"name": "add", "parameters": {}})",
       {}},
      {"llama3_json", "<|python_tag|>print(1)", "<|python_tag|>print(1)", {}},
      {"pythonic", "[1] says so, and [add] too", "[1] says so, and [add] too", {}},
      {"pythonic", "See [add(a=1)]", "See [add(a=1)]", {}},
      {"pythonic", "[]", "[]", {}},
      {"pythonic", "[add, weather]", "[add, weather]", {}},
      {"pythonic", "[rm(path=\"/\")]", "[rm(path=\"/\")]", {}},
      {"pythonic", "[add(1, 2)]", "[add(1, 2)]", {}},
      {"pythonic", "[add(a=b)]", "[add(a=b)]", {}},
      {"pythonic", "[add(a==1)]", "[add(a==1)]", {}},
      {"pythonic", "[add(a=weather())]", "[add(a=weather())]", {}},
      {"pythonic", "[add(a=1+2)]", "[add(a=1+2)]", {}},
      {"pythonic", "[add(**{})]", "[add(**{})]", {}},
      {"pythonic", "[add(a=f'x')]", "[add(a=f'x')]", {}},
      {"functiongemma",
       "<start_function_call>call:rm{}<end_function_call>",
       "<start_function_call>call:rm{}<end_function_call>",
       {}},
      {"functiongemma", "<start_function_call>add{}", "<start_function_call>add{}", {}},
      {"smollm3_python", "<code>1 + 2</code>", "<code>1 + 2</code>", {}},
      {"smollm3_python", "<code>x = 1\nadd(a=x)</code>", "<code>x = 1\nadd(a=x)</code>", {}},
      {"smollm3_python", "<code>add(1)</code>", "<code>add(1)</code>", {}},
      {"smollm3_python", "<code>print(x)</code>", "<code>print(x)</code>", {}},
      {"smollm3_python", "<code># nothing</code>", "<code># nothing</code>", {}},
      {"smollm3_python",
       "<code>weather(days=1, 'Rome')</code>",
       " 'Rome')</code>",
       {R"(weather({"days": 1)"}},
      {"smollm3_python",
       "<code>a = add(a=1)\nprint(a + 1)\n</code>",
       "\nprint(a + 1)\n</code>",
       {R"(add({"a": 1}))"}},
      {"smollm3_python",
       "<code>weather('Rome', 2 3)</code>",
       " 2 3)</code>",
       {R"(weather({"city": "Rome")"}},
      {"mistral_args", "[TOOL_CALLS]nothing[ARGS]{}", "[TOOL_CALLS]nothing[ARGS]{}", {}},
      {"mistral_args", "[TOOL_CALLS]add[ARGH]{}", "[TOOL_CALLS]add[ARGH]{}", {}},
      {"qwen3_coder",
       "<tool_call>\n<function=rm>\n</function>\n</tool_call>",
       "<tool_call>\n<function=rm>\n</function>\n</tool_call>",
       {}},
      // Cut short, or broken behind where it was certain: the call ends there, its arguments open.
      {"hermes", R"(<tool_call>{"name": "add", "arg)", R"(<tool_call>{"name": "add", "arg)", {}},
      {"hermes", R"(<tool_call>{"name": "add", "arguments": {"a": "x)", "", {R"(add({"a": "x)"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": {"a": tru}}</tool_call>)",
       "}}</tool_call>",
       {R"(add({"a": tru)"}},
      {"hermes", "<tool_call>{\"name\": \"add\", \"arguments\": {}}\n</tool", "", {"add({})"}},
      {"qwen3_coder",
       "<tool_call>\n<function=weather>\n<parameter=city>\nPar",
       "",
       {R"(weather({"city": "Par)"}},
      {"qwen3_coder",
       "<tool_call>\n<function=weather>\n<parameter=city>\nPar\n</param",
       "",
       {R"(weather({"city": "Par)"}},
      {"qwen3_coder",
       "<tool_call><function=weather><parameter=city>Par</parameter><parameter=city>Ro",
       "",
       {R"(weather({"city": "Par")"}},
      {"functiongemma",
       "<start_function_call>call:weather{city:<escape>Par<esc",
       "",
       {R"(weather({"city": "Par)"}},
      {"functiongemma", "<start_function_call>call:add{a:b} so", "b} so", {R"(add({"a": )"}},
      {"functiongemma",
       "<start_function_call>call:add{a:1, b:12] so",
       "] so",
       {R"(add({"a": 1, "b": 12)"}},
      {"pythonic", "[weather(city=\"Par", "", {R"(weather({"city": "Par)"}},
      {"pythonic", "[add(a=1, b=[2, c])] so", " c])] so", {R"(add({"a": 1, "b": [2)"}},
      {"pythonic", "[add(a=1, b=weather())] so", " b=weather())] so", {R"(add({"a": 1)"}},
      {"pythonic", "[add(a=12]) so", "]) so", {R"(add({"a": 12)"}},
      {"pythonic", "[add(a={'k': 12]}) so", "]}) so", {R"(add({"a": {"k": 12)"}},
      {"pythonic", R"([add(a='x\u12 y') so)", R"(\u12 y') so)", {R"(add({"a": "x)"}},
      {"pythonic", "[add(a=1, a=2)]", " a=2)]", {R"(add({"a": 1)"}},
      {"pythonic", "[add(a={1: 2})]", "1: 2})]", {R"(add({"a": {)"}},
      {"pythonic", "[add(a=1), rm()] so", ", rm()] so", {R"(add({"a": 1}))"}},
      {"qwen3_coder", "<tool_call>\n<function=weather>\nwhat?", "\nwhat?", {"weather({"}},
  };
  return all;
}

Answer expected(const Case& one) {
  Answer answer{.content = one.content, .calls = one.calls};
  for (std::string& call : answer.calls) {
    // The fixture closes each one's parenthesis.
    if (!call.ends_with("})")) call += ")";
  }
  return answer;
}

TEST(ToolParser, ReadsWhatFamiliesWriteAndLeavesTheRest) {
  for (const Case& one : cases()) EXPECT_EQ(parse(one.form, one.text), expected(one)) << one.text;
}

TEST(ToolParser, BordersOfPiecesDoNotMatter) {
  for (const Case& one : cases()) {
    SCOPED_TRACE(one.text);
    const std::string_view text = one.text;
    const Answer whole = parse(one.form, text);
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
    EXPECT_EQ(parse(one.form, bytes), whole);
    for (size_t i = 0; i <= text.size(); ++i) {
      EXPECT_EQ(parse(one.form, {text.substr(0, i), text.substr(i)}), whole) << i;
      for (size_t j = i; j <= text.size(); j += 7) {
        EXPECT_EQ(parse(one.form, {text.substr(0, i), text.substr(i, j - i), text.substr(j)}),
                  whole)
            << i << ' ' << j;
      }
    }
  }
}

TEST(ToolParser, ArgumentsComeAsTheyAreWritten) {
  ToolParser parser(*find_tool_form("hermes"), tools());
  EXPECT_TRUE(parser.push(R"(<tool_call>{"name": "add", "arguments")").calls.empty());
  ToolParser::Parts parts = parser.push(R"(: {"a)");
  ASSERT_EQ(parts.calls.size(), 1U);
  EXPECT_EQ(parts.calls[0].name, "add");
  EXPECT_EQ(parts.calls[0].arguments, R"({"a)");
  parts = parser.push(R"(": 1})");
  ASSERT_EQ(parts.calls.size(), 1U);
  EXPECT_EQ(parts.calls[0].name, "");
  EXPECT_EQ(parts.calls[0].arguments, R"(": 1})");
}

TEST(ToolParser, HoldsBackNoMoreThanWhatMayBeACall) {
  ToolParser parser(*find_tool_form("hermes"), tools());
  EXPECT_EQ(parser.push("a < b <to").content, "a < b");
  EXPECT_EQ(parser.push("ol").content, "");
  EXPECT_EQ(parser.push("s>").content, " <tools>");
  EXPECT_EQ(parser.push(R"(<tool_call>{"name": "ad)").content, "");
  EXPECT_EQ(parser.push("vice").content, R"(<tool_call>{"name": "advice)");
}

TEST(ToolParser, WhatItHoldsIsBounded) {
  ToolParser parser(*find_tool_form("hermes"), tools());
  const std::string begin = R"(<tool_call>{"arguments": {"a": ")";
  const std::string text = begin + std::string(3 * ToolParser::kMostHeldBytes, 'x');
  const std::string content = parser.push(text).content;
  EXPECT_GE(content.size(), text.size() - ToolParser::kMostHeldBytes);
  EXPECT_EQ(content + parser.finish().content, text);
}

TEST(ToolParser, DeepArgumentsAreNone) {
  const std::string deep =
      R"(<tool_call>{"name": "add", "parameters": {"a": )" + std::string(100'000, '[');
  const Answer answer = parse("hermes", deep);
  ASSERT_EQ(answer.calls.size(), 1U);
  EXPECT_LT(answer.calls[0].size(), 100U);
  EXPECT_GT(answer.content.size(), 99'000U);
}

}  // namespace
}  // namespace dms::serve
