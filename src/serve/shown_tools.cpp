#include "serve/shown_tools.h"

#include <string>
#include <utility>

#include "base/json.h"
#include "serve/api_error.h"

namespace dms::serve {
namespace {

OrderedJson arguments_of(const ChatRequest& chat) {
  return chat.arguments.empty() ? OrderedJson::object() : OrderedJson::parse(chat.arguments);
}

/// What a template takes for true.
bool is_given(const OrderedJson& arguments, const std::string& name) {
  const auto found = arguments.find(name);
  if (found == arguments.end() || found->is_null() || *found == false || *found == "") return false;
  return !found->is_structured() || !found->empty();
}

}  // namespace

const ToolForm* asked_form(const ToolForm* form, const ChatRequest& chat) {
  if (form == nullptr || form->other.empty()) return form;
  const ToolForm* other = find_tool_form(form->other);
  return is_given(arguments_of(chat), std::string(other->shown_as)) ? other : form;
}

/// A template that knows both arguments takes `tools` for the other one.
ChatRequest with_shown_tools(ChatRequest chat, const ToolForm* form) {
  const ToolForm* asked = asked_form(form, chat);
  if (asked == nullptr || asked->shown_as.empty()) return chat;
  OrderedJson arguments = arguments_of(chat);
  const std::string name(asked->shown_as);
  const bool is_list = is_given(arguments, name) && !arguments[name].is_boolean();
  if (!is_list) {
    arguments.erase(name);
    if (!chat.tools.empty()) arguments[name] = OrderedJson::parse(chat.tools);
  }
  if (asked->other.empty()) chat.tools.clear();
  chat.arguments = arguments.empty() ? std::string() : json_text(arguments);
  return chat;
}

}  // namespace dms::serve
