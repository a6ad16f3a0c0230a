#include "serve/tool_structure.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "serve/api_error.h"
#include "serve/format_parts.h"
#include "serve/gemma_arguments.h"
#include "serve/python_arguments.h"
#include "serve/reasoning_splitter.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::json_value;
using format_parts::optional;
using format_parts::sequence;

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
  return sequence({constant(form.list_begin), std::move(list), constant(form.list_end)});
}

/// What the form's calls begin with in a text. Where they need no tag, they may yet have it.
std::vector<std::string_view> triggers_of(const ToolForm& form) {
  if (form.bare.empty()) return {form.open};
  return {form.open, form.call_begin};
}

void add_tags(const ToolForm& form, const ToolRequest& request, OutJson& out) {
  OutJson tags = OutJson::array();
  for (const Tool& tool : *request.tools) tags.push_back(tag_of(form, tool, tool.is_strict));
  if (!form.list_begin.empty()) {
    out.push_back({{"type", "tag"},
                   {"begin", form.list_begin},
                   {"content", calls(form, std::move(tags), request.is_parallel)},
                   {"end", form.list_end}});
    return;
  }
  for (OutJson& tag : tags) {
    if (!form.bare.empty()) {
      OutJson tagged = tag;
      tagged["begin"] = std::string(form.open) + tag["begin"].get<std::string>();
      out.push_back(std::move(tagged));
    }
    out.push_back(std::move(tag));
  }
}

/// Text with calls in it, or without.
OutJson text_and_calls(const ToolForm& form, const ToolRequest& request) {
  OutJson triggers = OutJson::array();
  OutJson tags = OutJson::array();
  for (const ToolForm* read : read_forms(form)) {
    for (const std::string_view trigger : triggers_of(*read)) triggers.push_back(trigger);
    add_tags(*read, request, tags);
  }
  return {{"type", "triggered_tags"},
          {"triggers", std::move(triggers)},
          {"tags", std::move(tags)},
          {"stop_after_first", !request.is_parallel}};
}

/// What an answer may begin with, in which nothing is a call.
OutJson thoughts() {
  OutJson end = OutJson::array({ReasoningSplitter::kClose, constant("")});
  return sequence({constant(ReasoningSplitter::kOpen),
                   {{"type", "dispatch"}, {"rules", OutJson::array({end})}, {"loop", false}}});
}

bool is_token(std::string_view word, const std::vector<TokenTag>& tags) {
  return std::ranges::find(tags, word, &TokenTag::spelling) != tags.end();
}

OutJson format_of(const ToolForm& form,
                  const ToolRequest& request,
                  bool thinks_first,
                  const std::vector<TokenTag>& tags) {
  // Texts of FunctionGemma's kind are not seen to end with a token: its calls have letters.
  const std::vector<TokenTag> own = form.arguments == "gemma" ? std::vector<TokenTag>() : tags;
  if (!request.must_call()) {
    OutJson text = with_tokens_behind_triggers(text_and_calls(form, request), own);
    // xgrammar loses its way where a token is one of a form's and of a text's at once.
    if (thinks_first || is_token(ReasoningSplitter::kOpen, tags)) return text;
    return sequence({optional(thoughts()), std::move(text)});
  }
  OutJson format = with_tokens(nothing_but_calls(form, request), own);
  if (!thinks_first) return format;
  return sequence({optional(constant("\n\n")), std::move(format)});
}

}  // namespace

std::optional<Structure> tool_structure(const ToolForm& form,
                                        const ToolRequest& request,
                                        bool thinks_first,
                                        const std::vector<TokenTag>& tags) {
  if (request.tools == nullptr) return std::nullopt;
  const bool has_strict = std::ranges::any_of(*request.tools, &Tool::is_strict);
  if (!request.must_call() && !(has_strict && form.has_trigger)) return std::nullopt;
  OutJson tag{{"type", "structural_tag"}, {"format", format_of(form, request, thinks_first, tags)}};
  if (!tags.empty() && !(request.must_call() && form.arguments == "gemma")) {
    tag["named"] = named_tokens(tags);
  }
  std::string text = json_text(tag);
  if (!request.must_call() && text.size() > kMostTagBytes) return std::nullopt;
  return Structure{.kind = Structure::Kind::structural_tag,
                   .text = std::move(text),
                   .refuses_unenforced = has_strict,
                   .field = request.must_call() ? "tool_choice" : "tools"};
}

}  // namespace dms::serve
