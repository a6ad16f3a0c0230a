#include "serve/apis/responses_input.h"

#include <string>
#include <utility>
#include <vector>

#include "serve/apis/chat_body.h"

namespace dms::serve {
namespace {

constexpr const char* kTextForms = "a string or an array of text parts";

std::string read_part(const OrderedJson& value, const std::string& name) {
  const Fields part(value, name);
  const std::string type = part.text("type").value_or("");
  if (type == "input_text" || type == "output_text") return required_text(part, "text");
  if (type == "refusal") return required_text(part, "refusal");
  part.refuse("type", type, "input_text or output_text: the model reads nothing else");
}

/// A text, or chat's parts.
OrderedJson read_content(const Fields& item, const char* key) {
  const OrderedJson* content = item.find(key);
  if (content == nullptr) item.refuse(key, OrderedJson(), kTextForms);
  if (content->is_string()) return *content;
  if (!content->is_array()) item.refuse(key, *content, kTextForms);
  OrderedJson parts = OrderedJson::array();
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string name = item.name_of(key) + "[" + std::to_string(i) + "]";
    parts.push_back(text_part(read_part((*content)[i], name)));
  }
  return parts;
}

std::string joined(const Fields& item, const char* key) {
  std::string out;
  const OrderedJson* parts = item.array(key);
  for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    const Fields part((*parts)[i], item.name_of(key) + "[" + std::to_string(i) + "]");
    if (!out.empty()) out += '\n';
    out += required_text(part, "text");
  }
  return out;
}

/// Texts, or parts, behind what is there already.
void append(OrderedJson& content, OrderedJson more) {
  if (content.is_null()) {
    content = std::move(more);
    return;
  }
  if (content.is_string()) content = OrderedJson::array({text_part(content.get<std::string>())});
  if (more.is_string()) more = OrderedJson::array({text_part(more.get<std::string>())});
  for (OrderedJson& part : more) content.push_back(std::move(part));
}

class InputReader {
 public:
  void add_system(OrderedJson content, const std::string& name) {
    end_turn();
    if (messages_.size() != 1 || messages_[0]["role"] != "system") {
      return add({{"role", "system"}, {"content", std::move(content)}}, name);
    }
    append(messages_[0]["content"], std::move(content));
  }

  void add_item(const OrderedJson& value, const std::string& name) {
    const Fields item(value, name);
    const std::string fallback = item.find("role") != nullptr ? "message" : "";
    const std::string type = item.text("type").value_or(fallback);
    if (type == "message") return add_message(item, name);
    if (type == "function_call") return add_call(item, name);
    if (type == "function_call_output") return add_output(item, name);
    if (type == "reasoning") return add_reasoning(item, name);
    item.refuse("type",
                type,
                type == "item_reference"
                    ? "the item itself: nothing is kept between requests"
                    : "message, function_call, function_call_output or reasoning");
  }

  OrderedJson take(FieldNames& names) {
    end_turn();
    for (std::string& name : names_) names.add_message(std::move(name));
    return std::move(messages_);
  }

 private:
  void add(OrderedJson message, const std::string& name) {
    messages_.push_back(std::move(message));
    names_.push_back(name);
  }

  /// The assistant's message under way, or a new one.
  OrderedJson& turn(const std::string& name) {
    if (!is_in_turn_) add({{"role", "assistant"}, {"content", nullptr}}, name);
    is_in_turn_ = true;
    return messages_.back();
  }

  /// Thoughts that led to nothing are dropped.
  void end_turn() {
    if (!std::exchange(is_in_turn_, false)) return;
    const OrderedJson& last = messages_.back();
    if (!last["content"].is_null() || last.contains("tool_calls")) return;
    messages_.erase(messages_.size() - 1);
    names_.pop_back();
  }

  /// What comes behind calls is of their turn: their results have to follow it.
  void end_turn_of_text() {
    if (!is_in_turn_) return;
    const OrderedJson& last = messages_.back();
    if (!last["content"].is_null() && !last.contains("tool_calls")) end_turn();
  }

  void add_message(const Fields& item, const std::string& name) {
    const std::string role = required_text(item, "role");
    if (role == "system" || role == "developer") {
      return add_system(read_content(item, "content"), name);
    }
    if (role == "user") {
      end_turn();
      return add({{"role", "user"}, {"content", read_content(item, "content")}}, name);
    }
    if (role != "assistant") item.refuse("role", role, "user, assistant, system or developer");
    end_turn_of_text();
    append(turn(name)["content"], read_content(item, "content"));
  }

  void add_call(const Fields& item, const std::string& name) {
    OrderedJson call{
        {"id", required_text(item, "call_id")},
        {"type", "function"},
        {"function",
         {{"name", required_name(item, "name")}, {"arguments", required_text(item, "arguments")}}}};
    turn(name)["tool_calls"].push_back(std::move(call));
  }

  void add_output(const Fields& item, const std::string& name) {
    end_turn();
    add({{"role", "tool"},
         {"tool_call_id", required_text(item, "call_id")},
         {"content", read_content(item, "output")}},
        name);
  }

  /// What is not told in clear is not known here.
  void add_reasoning(const Fields& item, const std::string& name) {
    std::string text = joined(item, "content");
    if (text.empty()) text = joined(item, "summary");
    if (text.empty()) return;
    end_turn_of_text();
    OrderedJson& message = turn(name);
    if (!message.contains("reasoning_content")) {
      message["reasoning_content"] = std::move(text);
    } else {
      message["reasoning_content"].get_ref<std::string&>().append("\n").append(text);
    }
  }

  OrderedJson messages_ = OrderedJson::array();
  std::vector<std::string> names_;
  bool is_in_turn_ = false;  // the last message is the assistant's and may grow
};

}  // namespace

OrderedJson read_responses_input(const Fields& body,
                                 const RequestLimits& limits,
                                 FieldNames& names) {
  InputReader reader;
  if (const auto instructions = body.text("instructions")) {
    reader.add_system(*instructions, "instructions");
  }
  const OrderedJson* input = body.find("input");
  if (input == nullptr) body.refuse("input", OrderedJson(), "a string or an array of items");
  if (input->is_string()) {
    reader.add_item({{"role", "user"}, {"content", *input}}, "input");
    return reader.take(names);
  }
  if (!input->is_array() || input->empty()) {
    body.refuse("input", *input, "a string or an array of at least one item");
  }
  if (input->size() > limits.messages) {
    body.refuse("input", *input, "at most " + std::to_string(limits.messages) + " items");
  }
  for (size_t i = 0; i < input->size(); ++i) {
    reader.add_item((*input)[i], "input[" + std::to_string(i) + "]");
  }
  return reader.take(names);
}

}  // namespace dms::serve
