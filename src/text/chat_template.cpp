#include "text/chat_template.h"

#include <array>
#include <utility>

#include "dms/error.h"
#include "text/jinja_json.h"
#include "text/jinja_parser.h"
#include "text/jinja_renderer.h"

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

jinja::Dict context_of(jinja::Budget& budget, const ChatRequest& request) {
  require(request.messages.is_array(), "messages", "a JSON array");
  require(request.kwargs.is_object(), "template arguments", "a JSON object");
  ChatJson messages = ChatJson::array();
  for (const ChatJson& message : request.messages) {
    require(message.is_object(), "messages", "JSON objects");
    messages.push_back(with_reasoning(message));
  }
  jinja::Dict context;
  const auto set = [&](const std::string& name, jinja::Value value) {
    context.set(budget, jinja::Value(name), std::move(value));
  };
  for (const auto& [name, token] : request.special_tokens) set(name, token);
  set("tools", jinja::None{});
  set("documents", jinja::None{});
  for (const auto& [name, value] : request.kwargs.items())
    set(name, jinja::from_json(budget, value));
  set("messages", jinja::from_json(budget, messages));
  set("add_generation_prompt", request.add_generation_prompt);
  return context;
}

}  // namespace

struct ChatTemplate::Tree {
  jinja::Body body;
};

ChatJson parse_chat_json(std::string_view text, const std::string& where) {
  return parse_ordered_json(text, where);
}

ChatTemplate::ChatTemplate(std::string_view source, std::string where) : where_(std::move(where)) {
  if (source.size() > kMaxSource) {
    throw InputError({.where = where_, .what = "template too long", .expected = "at most 1 MiB"});
  }
  tree_ = std::make_shared<const Tree>(Tree{jinja::parse_template(source, where_)});
}

std::string ChatTemplate::render(const ChatRequest& request, const ChatLimits& limits) const {
  jinja::Runtime runtime(
      where_,
      jinja::limits_for({.steps = limits.steps, .bytes = limits.bytes},
                        jinja::bytes_of(request.messages) + jinja::bytes_of(request.kwargs)));
  return jinja::render_body(tree_->body, context_of(runtime, request), runtime);
}

}  // namespace dms::text
