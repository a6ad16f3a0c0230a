#include "serve/apis/chat_body.h"

#include <array>
#include <string_view>
#include <utility>

namespace dms::serve {
namespace {

constexpr std::array<std::string_view, 17> kCommon{"model",
                                                   "stream",
                                                   "temperature",
                                                   "top_p",
                                                   "top_k",
                                                   "min_p",
                                                   "seed",
                                                   "repetition_penalty",
                                                   "presence_penalty",
                                                   "frequency_penalty",
                                                   "logit_bias",
                                                   "ignore_eos",
                                                   "stop_token_ids",
                                                   "priority",
                                                   "chat_template_kwargs",
                                                   "structured_outputs",
                                                   "dms"};

void copy(const Fields& from, const char* key, OrderedJson& to) {
  if (const OrderedJson* value = from.find(key)) to[key] = *value;
}

}  // namespace

void copy_common_fields(const Fields& from, OrderedJson& chat) {
  for (const std::string_view key : kCommon) {
    if (const OrderedJson* value = from.find(key)) chat[std::string(key)] = *value;
  }
  const OrderedJson* ours = from.object("dms");
  if (ours == nullptr) return;
  const Fields fields(*ours, "dms");
  if (fields.boolean("report").value_or(false)) {
    fields.refuse("report", true, "false: completions and chat completions have a place for it");
  }
}

OrderedJson chat_tool(const Fields& tool, const std::string& schema) {
  OrderedJson function{{"name", required_name(tool, "name")}};
  if (const auto description = tool.text("description")) function["description"] = *description;
  if (const OrderedJson* parameters = tool.object(schema)) function["parameters"] = *parameters;
  if (const auto strict = tool.boolean("strict")) function["strict"] = *strict;
  return {{"type", "function"}, {"function", std::move(function)}};
}

OrderedJson chat_tool_choice(const Fields& choice) {
  return {{"type", "function"}, {"function", {{"name", required_name(choice, "name")}}}};
}

OrderedJson chat_format_of_schema(const Fields& format) {
  const OrderedJson* schema = format.object("schema");
  if (schema == nullptr) format.refuse("schema", OrderedJson(), "a JSON schema");
  OrderedJson out{{"name", format.text("name").value_or("answer")}, {"schema", *schema}};
  copy(format, "description", out);
  copy(format, "strict", out);
  return {{"type", "json_schema"}, {"json_schema", std::move(out)}};
}

std::string required_text(const Fields& fields, const char* key) {
  auto text = fields.text(key);
  if (!text) fields.refuse(key, OrderedJson(), "a string");
  return std::move(*text);
}

std::string required_name(const Fields& fields, const char* key) {
  std::string name = required_text(fields, key);
  if (name.empty()) fields.refuse(key, name, "a name");
  return name;
}

OrderedJson text_part(std::string text) { return {{"type", "text"}, {"text", std::move(text)}}; }

}  // namespace dms::serve
