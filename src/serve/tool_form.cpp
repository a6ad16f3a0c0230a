#include "serve/tool_form.h"

#include <algorithm>

#include "serve/code_calls.h"
#include "serve/escaped_text.h"
#include "serve/gemma_calls.h"
#include "serve/json_calls.h"
#include "serve/named_calls.h"
#include "serve/python_calls.h"
#include "serve/xml_calls.h"

namespace dms::serve {
namespace {

std::unique_ptr<CallSyntax> code(std::string_view close, Tools tools) {
  return std::make_unique<CodeCalls>(close, std::move(tools));
}

std::unique_ptr<CallSyntax> gemma(std::string_view close, Tools tools) {
  return std::make_unique<GemmaCalls>(close, std::move(tools));
}

std::unique_ptr<CallSyntax> json(std::string_view close, Tools tools) {
  return std::make_unique<JsonCalls>(close, std::move(tools));
}

std::unique_ptr<CallSyntax> named(std::string_view, Tools tools) {
  return std::make_unique<NamedCalls>(std::move(tools));
}

std::unique_ptr<CallSyntax> python(std::string_view close, Tools tools) {
  return std::make_unique<PythonCalls>(close, std::move(tools));
}

std::unique_ptr<CallSyntax> xml(std::string_view close, Tools tools) {
  return std::make_unique<XmlCalls>(close, std::move(tools));
}

constexpr std::string_view kNameKey = "{\"name\": \"";
constexpr std::string_view kArgumentsKey = "\", \"arguments\": ";

/// A form whose name or tag is part of another's stands before it.
std::vector<ToolForm> make_forms() {
  return {
      {.name = "seed_oss",
       .marks = {"<seed:tool_call>"},
       .open = "<seed:tool_call>",
       .close = "</seed:tool_call>",
       .syntax = xml,
       .call_begin = "<seed:tool_call>\n<function=",
       .call_middle = ">\n",
       .call_end = "\n</function>\n</seed:tool_call>",
       .between = "\n",
       .arguments = "qwen_xml"},
      {.name = "qwen3_coder",
       .marks = {"<parameter="},
       .open = "<tool_call>",
       .close = "</tool_call>",
       .syntax = xml,
       .call_begin = "<tool_call>\n<function=",
       .call_middle = ">\n",
       .call_end = "\n</function>\n</tool_call>",
       .between = "\n",
       .arguments = "qwen_xml"},
      {.name = "smollm2",
       .marks = {"<tool_call>["},
       .open = "<tool_call>",
       .close = "</tool_call>",
       .syntax = json,
       .list_begin = "<tool_call>[",
       .call_begin = kNameKey,
       .call_middle = kArgumentsKey,
       .call_end = "}",
       .between = ", ",
       .list_end = "]</tool_call>"},
      {.name = "smollm3",
       .marks = {"python_tools"},
       .open = "<tool_call>",
       .close = "</tool_call>",
       .syntax = json,
       .call_begin = "<tool_call>\n{\"name\": \"",
       .call_middle = kArgumentsKey,
       .call_end = "}\n</tool_call>",
       .between = "\n",
       .shown_as = "xml_tools",
       .other = "smollm3_python"},
      {.name = "smollm3_python",
       .marks = {},
       .open = "<code>",
       .close = "</code>",
       .syntax = code,
       .list_begin = "<code>\n",
       .call_middle = "(",
       .call_end = ")",
       .between = "\n",
       .list_end = "\n</code>",
       .arguments = "python",
       .shown_as = "python_tools",
       .beside = "hermes"},
      {.name = "hermes",
       .marks = {"<tool_call>"},
       .open = "<tool_call>",
       .close = "</tool_call>",
       .syntax = json,
       .call_begin = "<tool_call>\n{\"name\": \"",
       .call_middle = kArgumentsKey,
       .call_end = "}\n</tool_call>",
       .between = "\n"},
      {.name = "mistral_args",
       .marks = {"[ARGS]"},
       .open = "[TOOL_CALLS]",
       .syntax = named,
       .call_begin = "[TOOL_CALLS]",
       .call_middle = "[ARGS]",
       .words = {NamedCalls::kArguments, NamedCalls::kId},
       .has_short_ids = true},
      {.name = "mistral",
       .marks = {"[TOOL_CALLS]"},
       .open = "[TOOL_CALLS]",
       .syntax = json,
       .list_begin = "[TOOL_CALLS] [",
       .call_begin = kNameKey,
       .call_middle = kArgumentsKey,
       .call_end = "}",
       .between = ", ",
       .list_end = "]",
       .has_short_ids = true},
      {.name = "phi4",
       .marks = {"<|/tool_call|>", "<|/tool|>"},
       .open = "<|tool_call|>",
       .close = "<|/tool_call|>",
       .syntax = json,
       .list_begin = "<|tool_call|>[",
       .call_begin = kNameKey,
       .call_middle = kArgumentsKey,
       .call_end = "}",
       .between = ", ",
       .list_end = "]<|/tool_call|>"},
      {.name = "granite",
       .marks = {"<|tool_call|>"},
       .open = "<|tool_call|>",
       .syntax = json,
       .list_begin = "<|tool_call|>[",
       .call_begin = kNameKey,
       .call_middle = kArgumentsKey,
       .call_end = "}",
       .between = ", ",
       .list_end = "]"},
      {.name = "gemma3",
       .marks = {"```tool_code"},
       .open = "```tool_code",
       .close = "```",
       .syntax = code,
       .list_begin = "```tool_code\n",
       .call_middle = "(",
       .call_end = ")",
       .between = "\n",
       .list_end = "\n```",
       .arguments = "python"},
      {.name = "pythonic",
       .marks = {"func_name1(", "[func_name("},
       .open = "<|python_start|>",
       .close = "<|python_end|>",
       .syntax = python,
       .bare = "[",
       .list_begin = "[",
       .call_middle = "(",
       .call_end = ")",
       .between = ", ",
       .list_end = "]",
       .arguments = "python",
       .has_trigger = false},
      {.name = "llama3_json",
       .marks = {"<|python_tag|>", "\"parameters\": "},
       .open = "<|python_tag|>",
       .syntax = json,
       .bare = "{",
       .separator = ";",
       .call_begin = kNameKey,
       .call_middle = "\", \"parameters\": ",
       .call_end = "}",
       .between = "; "},
      {.name = "functiongemma",
       .marks = {"<start_function_call>"},
       .open = "<start_function_call>",
       .close = "<end_function_call>",
       .syntax = gemma,
       .call_begin = "<start_function_call>call:",
       .call_end = "<end_function_call>",
       .arguments = "gemma",
       .words = {EscapedText::kQuote}},
  };
}

}  // namespace

std::span<const ToolForm> tool_forms() {
  static const std::vector<ToolForm> forms = make_forms();
  return forms;
}

const ToolForm* find_tool_form(std::string_view name) {
  const auto found = std::ranges::find(tool_forms(), name, &ToolForm::name);
  return found == tool_forms().end() ? nullptr : &*found;
}

const ToolForm* tool_form_of(std::string_view chat_template) {
  const auto is_written = [chat_template](const ToolForm& form) {
    return std::ranges::any_of(form.marks, [&](std::string_view mark) {
      return chat_template.find(mark) != std::string_view::npos;
    });
  };
  const auto found = std::ranges::find_if(tool_forms(), is_written);
  return found == tool_forms().end() ? nullptr : &*found;
}

std::vector<const ToolForm*> read_forms(const ToolForm& form) {
  if (form.beside.empty()) return {&form};
  return {&form, find_tool_form(form.beside)};
}

std::vector<std::string> tool_form_names() {
  std::vector<std::string> names;
  for (const ToolForm& form : tool_forms()) names.emplace_back(form.name);
  return names;
}

}  // namespace dms::serve
