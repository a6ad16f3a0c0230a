#include "serve/apis/field_names.h"

#include <charconv>

namespace dms::serve {
namespace {

constexpr std::string_view kMessage = "messages[";
constexpr std::string_view kTool = "tools[";

/// `name` is `field`, or in it.
bool is_within(std::string_view name, std::string_view field) {
  if (!name.starts_with(field)) return false;
  const std::string_view rest = name.substr(field.size());
  return rest.empty() || rest.front() == '.' || rest.front() == '[';
}

}  // namespace

std::string FieldNames::tool_name_of(std::string name) const {
  constexpr std::string_view kFunction = ".function";
  constexpr std::string_view kParameters = ".parameters";
  const size_t at = name.find(kFunction);
  if (at == std::string::npos) return name;
  name.erase(at, kFunction.size());
  if (std::string_view(name).substr(at).starts_with(kParameters)) {
    name.replace(at + 1, kParameters.size() - 1, schema_);
  }
  return name;
}

/// What a message was made of is named as a whole: its parts have been looked at before.
std::string FieldNames::name_of(const std::string& chat_name) const {
  if (chat_name.starts_with(kMessage)) {
    size_t index = messages_.size();
    const char* begin = chat_name.data() + kMessage.size();
    std::from_chars(begin, chat_name.data() + chat_name.size(), index);
    if (index < messages_.size()) return messages_[index];
  }
  if (chat_name.starts_with(kTool)) return tool_name_of(chat_name);
  for (const auto& [chat, other] : pairs_) {
    if (is_within(chat_name, chat)) return std::string(other) + chat_name.substr(chat.size());
  }
  return chat_name;
}

ApiError FieldNames::rename(const ApiError& error) const {
  if (error.param().empty()) return error;
  const std::string name = name_of(error.param());
  std::string message = error.what();
  if (message.starts_with(error.param() + ":")) {
    message.replace(0, error.param().size(), name);
  }
  return {error.status(), std::move(message), name, error.code()};
}

}  // namespace dms::serve
