#include "serve/tool_structure.h"

#include <algorithm>
#include <string>
#include <utility>

#include "serve/api_error.h"
#include "serve/format_parts.h"
#include "serve/gemma_arguments.h"
#include "serve/python_arguments.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::json_value;

/// Arguments are an object whatever the schema leaves open.
OutJson schema_of(const Tool& tool, bool is_held) {
  if (!is_held) return {{"type", "object"}, {"additionalProperties", true}};
  OutJson schema = tool.parameters;
  schema["type"] = "object";
  return schema;
}

OutJson arguments_of(const ToolForm& form, const Tool& tool, bool is_held) {
  if (form.arguments == "python") return python_arguments(tool);
  if (form.arguments == "gemma") return gemma_arguments(tool, is_held);
  OutJson format = json_value(schema_of(tool, is_held), tool.is_strict || !is_held);
  format["style"] = form.arguments;
  return format;
}

/// One call.
OutJson tag_of(const ToolForm& form, const Tool& tool, bool is_held) {
  return {{"type", "tag"},
          {"begin", std::string(form.call_begin) + tool.name + std::string(form.call_middle)},
          {"content", arguments_of(form, tool, is_held)},
          {"end", form.call_end}};
}

OutJson calls(const ToolForm& form, OutJson tags, bool is_parallel) {
  return {{"type", "tags_with_separator"},
          {"tags", std::move(tags)},
          {"separator", form.between},
          {"at_least_one", true},
          {"stop_after_first", !is_parallel}};
}

/// Calls and nothing else.
OutJson nothing_but_calls(const ToolForm& form, const ToolRequest& request) {
  using Choice = ToolRequest::Choice;
  OutJson tags = OutJson::array();
  for (const Tool& tool : *request.tools) {
    if (request.choice == Choice::named && tool.name != request.name) continue;
    tags.push_back(tag_of(form, tool, true));
  }
  const bool may_go_on = request.is_parallel && request.choice != Choice::named;
  OutJson list = calls(form, std::move(tags), may_go_on);
  if (form.list_begin.empty()) return list;
  return {{"type", "sequence"},
          {"elements",
           OutJson::array({constant(form.list_begin), std::move(list), constant(form.list_end)})}};
}

/// Text with calls in it, or without.
OutJson text_and_calls(const ToolForm& form, const ToolRequest& request) {
  OutJson tags = OutJson::array();
  for (const Tool& tool : *request.tools) tags.push_back(tag_of(form, tool, tool.is_strict));
  if (!form.list_begin.empty()) {
    tags = OutJson::array({{{"type", "tag"},
                            {"begin", form.list_begin},
                            {"content", calls(form, std::move(tags), request.is_parallel)},
                            {"end", form.list_end}}});
  }
  return {{"type", "triggered_tags"},
          {"triggers", OutJson::array({form.bare.empty() ? form.open : form.call_begin})},
          {"tags", std::move(tags)},
          {"stop_after_first", !request.is_parallel}};
}

}  // namespace

std::optional<Structure> tool_structure(const ToolForm& form,
                                        const ToolRequest& request,
                                        bool thinks_first,
                                        const std::vector<TokenTag>& tags) {
  if (request.tools == nullptr) return std::nullopt;
  const bool has_strict = std::ranges::any_of(*request.tools, &Tool::is_strict);
  if (!request.must_call() && !(has_strict && form.has_trigger)) return std::nullopt;
  OutJson format =
      request.must_call() ? nothing_but_calls(form, request) : text_and_calls(form, request);
  if (request.must_call()) format = with_tokens(std::move(format), tags);
  if (thinks_first && request.must_call()) {
    const OutJson blank_line{{"type", "optional"}, {"content", constant("\n\n")}};
    format = {{"type", "sequence"}, {"elements", OutJson::array({blank_line, std::move(format)})}};
  }
  std::string text = json_text({{"type", "structural_tag"}, {"format", std::move(format)}});
  if (!request.must_call() && text.size() > kMostTagBytes) return std::nullopt;
  return Structure{.kind = Structure::Kind::structural_tag,
                   .text = std::move(text),
                   .refuses_unenforced = has_strict,
                   .field = request.must_call() ? "tool_choice" : "tools"};
}

}  // namespace dms::serve
