// Messages as JSON and back (declared in dms/chat.h).

#include <utility>

#include "base/json.h"
#include "dms/chat.h"
#include "dms/error.h"

namespace dms {
namespace {

std::string text_of(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson object_of(const ChatMessage& message) {
  OrderedJson json{{"role", message.role}, {"content", message.content}};
  if (!message.tool_calls.empty()) {
    json["tool_calls"] = parse_ordered_json(message.tool_calls, "tool_calls");
  }
  if (!message.fields.empty()) json.update(parse_ordered_json(message.fields, "fields"));
  return json;
}

/// Content that is no text is for the template as it is.
ChatMessage message_of(const OrderedJson& json, const std::string& where) {
  if (!json.is_object()) {
    throw InputError({.where = where, .what = "bad value", .expected = "a JSON object"});
  }
  ChatMessage message;
  OrderedJson fields = OrderedJson::object();
  for (const auto& [key, value] : json.items()) {
    if (key == "role" && value.is_string()) {
      message.role = value.get<std::string>();
    } else if (key == "content" && value.is_string()) {
      message.content = value.get<std::string>();
    } else if (key == "tool_calls" && value.is_array()) {
      if (!value.empty()) message.tool_calls = text_of(value);
    } else if (key != "role" && !value.is_null()) {
      fields[key] = value;
    }
  }
  if (message.role.empty()) {
    throw InputError(
        {.where = where, .field = "role", .what = "is missing", .expected = "a text, as user"});
  }
  const bool may_say_nothing = message.role == "assistant" || fields.contains("content");
  if (!may_say_nothing && !json.contains("content")) {
    throw InputError(
        {.where = where, .field = "content", .what = "is missing", .expected = "a text"});
  }
  if (!fields.empty()) message.fields = text_of(fields);
  return message;
}

}  // namespace

std::string json_of_messages(const std::vector<ChatMessage>& messages) {
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& message : messages) list.push_back(object_of(message));
  return text_of(list);
}

std::vector<ChatMessage> messages_of_json(std::string_view json, const std::string& where) {
  const OrderedJson list = parse_ordered_json(json, where);
  if (!list.is_array()) {
    throw InputError(
        {.where = where, .what = "holds no messages", .expected = "a JSON array of messages"});
  }
  std::vector<ChatMessage> messages;
  for (const OrderedJson& value : list) {
    messages.push_back(message_of(value, where + ": message " + std::to_string(messages.size())));
  }
  return messages;
}

}  // namespace dms
