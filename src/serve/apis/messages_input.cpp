#include "serve/apis/messages_input.h"

#include <string>
#include <utility>

#include "serve/apis/chat_body.h"

namespace dms::serve {
namespace {

constexpr const char* kContentForms = "a string or an array of blocks";

std::string element(const std::string& name, size_t index) {
  return name + "[" + std::to_string(index) + "]";
}

std::string type_of(const Fields& block) { return block.text("type").value_or(""); }

/// A text, or blocks of nothing else, as chat's parts.
OrderedJson read_texts(const Fields& fields, const char* key) {
  const OrderedJson* content = fields.find(key);
  if (content == nullptr) return "";
  if (content->is_string()) return *content;
  if (!content->is_array()) fields.refuse(key, *content, kContentForms);
  OrderedJson parts = OrderedJson::array();
  for (size_t i = 0; i < content->size(); ++i) {
    const Fields block((*content)[i], element(fields.name_of(key), i));
    const std::string type = type_of(block);
    if (type != "text") block.refuse("type", type, "text: the model reads nothing else");
    parts.push_back(text_part(required_text(block, "text")));
  }
  return parts;
}

[[noreturn]] void refuse_more(const Fields& body, size_t most) {
  body.refuse("messages", *body.find("messages"), "at most " + std::to_string(most));
}

class BlockReader {
 public:
  BlockReader(const Fields& body, size_t most, MessagesInput& out, FieldNames& names)
      : body_(body), most_(most), out_(out), names_(names) {}

  /// Blocks become messages too, so that there may be more than the body has.
  void add(OrderedJson message, const std::string& name) {
    if (out_.messages.size() >= most_) refuse_more(body_, most_);
    out_.messages.push_back(std::move(message));
    names_.add_message(name);
  }

  void add_message(const OrderedJson& value, const std::string& name) {
    const Fields message(value, name);
    const std::string role = required_text(message, "role");
    const OrderedJson* content = message.find("content");
    if (content == nullptr) message.refuse("content", OrderedJson(), kContentForms);
    if (role == "system" || content->is_string()) {
      if (role != "user" && role != "assistant" && role != "system") refuse_role(message, role);
      return add({{"role", role}, {"content", read_texts(message, "content")}}, name);
    }
    if (!content->is_array()) message.refuse("content", *content, kContentForms);
    if (role == "user") return add_of_user(*content, message.name_of("content"), name);
    if (role == "assistant") return add_of_assistant(*content, message.name_of("content"), name);
    refuse_role(message, role);
  }

 private:
  [[noreturn]] static void refuse_role(const Fields& message, const std::string& role) {
    message.refuse("role", role, "user or assistant");
  }

  /// Texts and results in their order; texts that follow one another are one message.
  void add_of_user(const OrderedJson& blocks, const std::string& place, const std::string& name) {
    OrderedJson texts = OrderedJson::array();
    const auto add_texts = [&] {
      if (texts.empty()) return;
      add({{"role", "user"}, {"content", std::exchange(texts, OrderedJson::array())}}, name);
    };
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Fields block(blocks[i], element(place, i));
      const std::string type = type_of(block);
      if (type == "text") {
        texts.push_back(text_part(required_text(block, "text")));
      } else if (type == "tool_result") {
        add_texts();
        add({{"role", "tool"},
             {"tool_call_id", required_text(block, "tool_use_id")},
             {"content", read_texts(block, "content")}},
            name);
      } else {
        block.refuse("type", type, "text or tool_result: the model reads nothing else");
      }
    }
    if (blocks.empty()) texts.push_back(text_part(""));
    add_texts();
  }

  void add_of_assistant(const OrderedJson& blocks,
                        const std::string& place,
                        const std::string& name) {
    OrderedJson message{{"role", "assistant"}, {"content", OrderedJson::array()}};
    std::string thoughts;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Fields block(blocks[i], element(place, i));
      const std::string type = type_of(block);
      if (type == "text") {
        message["content"].push_back(text_part(required_text(block, "text")));
      } else if (type == "thinking") {
        thoughts += required_text(block, "thinking");
      } else if (type == "tool_use") {
        message["tool_calls"].push_back(call_of(block));
      } else if (type != "redacted_thinking") {
        block.refuse("type", type, "text, thinking or tool_use");
      }
    }
    if (!thoughts.empty()) message["reasoning_content"] = std::move(thoughts);
    add(std::move(message), name);
  }

  static OrderedJson call_of(const Fields& block) {
    const OrderedJson* input = block.object("input");
    return {{"id", required_text(block, "id")},
            {"type", "function"},
            {"function",
             {{"name", required_name(block, "name")},
              {"arguments", input == nullptr ? std::string("{}") : json_text(*input)}}}};
  }

  const Fields& body_;
  size_t most_;
  MessagesInput& out_;
  FieldNames& names_;
};

}  // namespace

MessagesInput read_messages_input(const Fields& body,
                                  const RequestLimits& limits,
                                  FieldNames& names) {
  MessagesInput out;
  BlockReader reader(body, limits.messages, out, names);
  if (body.find("system") != nullptr) {
    reader.add({{"role", "system"}, {"content", read_texts(body, "system")}}, "system");
  }
  const OrderedJson* messages = body.array("messages");
  if (messages == nullptr || messages->empty()) {
    body.refuse("messages", messages ? *messages : OrderedJson(), "at least one message");
  }
  if (messages->size() > limits.messages) refuse_more(body, limits.messages);
  for (size_t i = 0; i < messages->size(); ++i) {
    reader.add_message((*messages)[i], element("messages", i));
  }
  const OrderedJson& last = out.messages.back();
  out.ends_open = last["role"] == "assistant" && !last.contains("tool_calls");
  return out;
}

}  // namespace dms::serve
