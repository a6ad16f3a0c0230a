#include "serve/tool_form.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/tool_fixture.h"

namespace dms::serve {
namespace {

std::string form_of(std::string_view chat_template) {
  const ToolForm* form = tool_form_of(chat_template);
  return form != nullptr ? std::string(form->name) : "none";
}

TEST(ToolForm, IsWhatTheTemplateShows) {
  const std::vector<std::pair<std::string, std::string>> templates{
      {"{{ 'return a json object within <tool_call></tool_call> XML tags' }}", "hermes"},
      {"<tool_call>\n<function=example>\n<parameter=one>\n", "qwen3_coder"},
      {"<seed:tool_call>\n<function=example>\n<parameter=one>\n", "seed_oss"},
      {"<tool_call>[\n{\"name\": \"func_name1\"", "smollm2"},
      {"{%- if xml_tools or python_tools -%}{{ '<tool_call>' }}", "smollm3"},
      {"{{- 'write\n```tool_code\n' }} or [func_name(a=1)]", "gemma3"},
      {"{{- \"[TOOL_CALLS] [\" }}", "mistral"},
      {"{{- '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}", "mistral_args"},
      {"<|tool|>{{ tools }}<|/tool|>", "phi4"},
      {"write <|tool_call|> followed by a JSON list", "granite"},
      {"in the format of [func_name1(params_name1=params_value1...), func_name2(params)]",
       "pythonic"},
      {"{{- '<start_function_call>call:' + function['name'] + '{' -}}", "functiongemma"},
      {R"({"name": function name, "parameters": dictionary of argument name and its value})",
       "llama3_json"},
      {"{% for message in messages %}<|im_start|>{{ message.role }}{% endfor %}", "none"}};
  for (const auto& [text, name] : templates) EXPECT_EQ(form_of(text), name) << text;
}

/// Which tag has come is certain with its last character, and the separator is one character.
TEST(ToolForm, TagsThatAreReadTogetherDiffer) {
  std::set<std::string_view> names;
  for (const ToolForm& form : tool_forms()) {
    SCOPED_TRACE(std::string(form.name));
    EXPECT_TRUE(names.insert(form.name).second);
    EXPECT_LE(form.separator.size(), 1U);
    EXPECT_EQ(find_tool_form(form.name), &form);
    for (const ToolForm* one : read_forms(form)) {
      ASSERT_NE(one, nullptr);
      ASSERT_FALSE(one->open.empty());
      for (const ToolForm* other : read_forms(form)) {
        EXPECT_TRUE(one == other || !other->open.starts_with(one->open));
      }
    }
    if (!form.other.empty()) {
      ASSERT_NE(find_tool_form(form.other), nullptr);
      EXPECT_NE(find_tool_form(form.other)->shown_as, form.shown_as);
    }
  }
  EXPECT_EQ(find_tool_form("none"), nullptr);
}

std::string arguments_of(const ToolForm& form) {
  if (form.arguments == "qwen_xml") return "<parameter=city>\nRome\n</parameter>";
  if (form.arguments == "gemma") return "{city:<escape>Rome<escape>}";
  if (form.arguments == "python") return "city=\"Rome\"";
  return R"({"city": "Rome"})";
}

/// What a model is made to write is what is read.
TEST(ToolForm, ReadsTheCallsThatItDemands) {
  for (const ToolForm& form : tool_forms()) {
    SCOPED_TRACE(std::string(form.name));
    const std::string arguments = arguments_of(form);
    std::string text(form.list_begin);
    for (const std::string_view name : {"weather", "weather_now"}) {
      if (name != "weather") text += form.between;
      text += form.call_begin;
      text += name;
      text += form.call_middle;
      text += arguments;
      text += form.call_end;
    }
    text += form.list_end;
    const testing_support::Answer answer = testing_support::parse(form.name, text);
    EXPECT_EQ(answer.content, "");
    EXPECT_EQ(answer.calls,
              (std::vector<std::string>{R"(weather({"city": "Rome"}))",
                                        R"(weather_now({"city": "Rome"}))"}))
        << text;
  }
}

}  // namespace
}  // namespace dms::serve
