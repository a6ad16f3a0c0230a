#include "text/chat_template.h"

#include <array>
#include <utility>

#include "dms/error.h"

namespace dms::text {
namespace {

constexpr size_t kMaxSource = size_t{1} << 20;

void require(bool valid, const char* field, const char* expected) {
  if (valid) return;
  throw InputError({.where = field, .what = "bad value", .expected = expected});
}

/// Models name the text of their reasoning differently; templates find it under every name, as with
/// transformers.
ChatJson with_reasoning(const ChatJson& message) {
  constexpr std::array<const char*, 3> kNames{"reasoning_content", "thinking", "reasoning"};
  for (const char* name : kNames) {
    const auto it = message.find(name);
    if (it == message.end() || it->is_null()) continue;
    ChatJson aliased = ChatJson::object();
    aliased["thinking"] = *it;
    for (const auto& [key, value] : message.items()) aliased[key] = value;
    aliased["reasoning_content"] = *it;
    return aliased;
  }
  return message;
}

/// The variables a template sees; later ones win.
ChatJson variables_of(const ChatRequest& request) {
  require(request.messages.is_array(), "messages", "a JSON array");
  require(request.kwargs.is_object(), "template arguments", "a JSON object");
  ChatJson variables = ChatJson::object();
  for (const auto& [name, token] : request.special_tokens) variables[name] = token;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  for (const auto& [name, value] : request.kwargs.items()) variables[name] = value;
  ChatJson messages = ChatJson::array();
  for (const ChatJson& message : request.messages) {
    require(message.is_object(), "messages", "JSON objects");
    messages.push_back(with_reasoning(message));
  }
  variables["messages"] = std::move(messages);
  variables["add_generation_prompt"] = request.add_generation_prompt;
  return variables;
}

std::string_view of_sane_length(std::string_view source, const std::string& where) {
  if (source.size() <= kMaxSource) return source;
  throw InputError({.where = where, .what = "template too long", .expected = "at most 1 MiB"});
}

}  // namespace

ChatJson parse_chat_json(std::string_view text, const std::string& where) {
  return parse_ordered_json(text, where);
}

ChatTemplate::ChatTemplate(std::string_view source, const std::string& where)
    : source_(of_sane_length(source, where)), template_(source_, where) {}

std::string ChatTemplate::render(const ChatRequest& request, const ChatLimits& limits) const {
  return template_.render(variables_of(request), {.steps = limits.steps, .bytes = limits.bytes});
}

}  // namespace dms::text
