#include "serve/chat_request.h"

#include <utility>

namespace dms::serve {
namespace {

/// Texts of several parts are lines, as vLLM joins them.
std::string read_parts(const OrderedJson& parts, const std::string& name) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Fields part(parts[i], name + "[" + std::to_string(i) + "]");
    const std::string type = part.text("type").value_or("");
    if (type != "text") part.refuse("type", type, "text: the model reads nothing else");
    const auto piece = part.text("text");
    if (!piece) part.refuse("text", OrderedJson(), "a string");
    text += (i > 0 ? "\n" : "") + *piece;
  }
  return text;
}

/// Everything that is not text goes to the template as it is.
std::string read_other_fields(const OrderedJson& message) {
  OrderedJson others = OrderedJson::object();
  for (const auto& [key, value] : message.items()) {
    if (key == "role" || key == "content" || key == "tool_calls" || value.is_null()) continue;
    others[key] = value;
  }
  return others.empty() ? std::string() : json_text(others);
}

ChatMessage read_message(const OrderedJson& value, const std::string& name) {
  const Fields fields(value, name);
  ChatMessage message;
  const auto role = fields.text("role");
  if (!role || role->empty()) fields.refuse("role", OrderedJson(), "a string, as user");
  message.role = *role;
  const OrderedJson* content = fields.find("content");
  const OrderedJson* calls = fields.array("tool_calls");
  if (content == nullptr) {
    if (message.role != "assistant") fields.refuse("content", OrderedJson(), "a string");
  } else if (content->is_array()) {
    message.content = read_parts(*content, fields.name_of("content"));
  } else if (content->is_string()) {
    message.content = content->get<std::string>();
  } else {
    fields.refuse("content", *content, "a string or an array of parts");
  }
  if (calls != nullptr && !calls->empty()) message.tool_calls = json_text(*calls);
  message.fields = read_other_fields(value);
  return message;
}

std::string read_template_arguments(const Fields& body) {
  OrderedJson arguments = OrderedJson::object();
  if (const OrderedJson* given = body.object("chat_template_kwargs")) arguments = *given;
  if (const auto effort = body.text("reasoning_effort")) {
    if (!arguments.contains("reasoning_effort")) arguments["reasoning_effort"] = *effort;
  }
  return arguments.empty() ? std::string() : json_text(arguments);
}

}  // namespace

Conversation read_conversation(const Fields& body, const RequestLimits& limits) {
  Conversation out;
  const OrderedJson* messages = body.array("messages");
  if (messages == nullptr || messages->empty()) {
    body.refuse("messages", messages ? *messages : OrderedJson(), "at least one message");
  }
  if (messages->size() > limits.messages) {
    body.refuse("messages", *messages, "at most " + std::to_string(limits.messages));
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    out.chat.messages.push_back(
        read_message((*messages)[i], "messages[" + std::to_string(i) + "]"));
  }
  out.tools = read_tools(body, limits);
  out.chat.tools = out.tools.shown;
  out.chat.arguments = read_template_arguments(body);
  out.continue_final_message = body.boolean("continue_final_message").value_or(false);
  out.chat.add_generation_prompt = body.boolean("add_generation_prompt").value_or(true);
  if (out.continue_final_message) {
    if (body.boolean("add_generation_prompt").value_or(false)) {
      body.refuse("continue_final_message", true, "add_generation_prompt to be false with it");
    }
    out.chat.add_generation_prompt = false;
  }
  return out;
}

ChatCompletionRequest parse_chat_request(std::string_view body, const ModelFacts& model) {
  const OrderedJson json = parse_body(body, model.limits);
  return read_chat_request(Fields(json, ""), model);
}

ChatCompletionRequest read_chat_request(const Fields& fields, const ModelFacts& model) {
  ChatCompletionRequest out;
  out.common = read_generation_request(fields, model);
  if (out.common.max_tokens == 0) fields.refuse("max_tokens", 0, "at least 1");
  out.conversation = read_conversation(fields, model.limits);
  const bool wants = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, model.limits.log_probabilities);
  if (top.value_or(0) > 0 && !wants) {
    fields.refuse("top_logprobs", *top, "logprobs to be true with it");
  }
  if (wants) out.common.sampling.log_probabilities = top.value_or(0);
  out.include_reasoning = fields.boolean("include_reasoning").value_or(true);
  return out;
}

}  // namespace dms::serve
