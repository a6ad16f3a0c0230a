#include "cli/chat_prompt.h"

#include <algorithm>

#include "base/json.h"
#include "cli/input.h"
#include "dms/error.h"
#include "serve/served_model.h"

namespace dms::cli {
namespace {

constexpr const char* kPlain = "plain";
constexpr const char* kArgumentOption = "--template-arg";

std::string plain_name(const std::string& role) {
  if (role == "system") return "System";
  return role == "user" ? "User" : "Assistant";
}

std::string render_plain(const std::vector<ChatMessage>& messages) {
  std::string text;
  for (const ChatMessage& message : messages) {
    text += plain_name(message.role) + ": " + message.content + "\n";
  }
  return text + "Assistant:";
}

/// "key=value"; what is not JSON is a text.
void add_argument(OrderedJson& arguments, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw InputError({.where = kArgumentOption,
                      .what = "bad value",
                      .got = "'" + text + "'",
                      .expected = "KEY=VALUE"});
  }
  const std::string key = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  if (key == "messages" || key == "add_generation_prompt") {
    throw InputError({.where = kArgumentOption,
                      .what = "'" + key + "' is set by the conversation",
                      .hint = "give another key"});
  }
  arguments[key] =
      OrderedJson::accept(value) ? parse_ordered_json(value, kArgumentOption) : OrderedJson(value);
}

}  // namespace

ChatPrompt ChatPrompt::make(const std::filesystem::path& folder, const ChatOptions& options) {
  ChatPrompt prompt;
  const std::string& choice = options.chat_template;
  if (choice == kPlain) {
    if (options.template_args.empty()) return prompt;
    throw InputError({.where = kArgumentOption, .what = "the plain form takes no arguments"});
  }
  prompt.arguments_ = template_arguments(options.template_args);
  prompt.source_ = choice.empty() ? folder.string() : input_name(choice);
  prompt.template_ = choice.empty() ? ChatTemplate::load(folder)
                                    : ChatTemplate(read_text(choice), prompt.source_, folder);
  if (!prompt.template_) {
    throw InputError({.where = folder.string(),
                      .what = "the model has no chat template",
                      .hint = "give one with --template FILE, or use --template plain"});
  }
  return prompt;
}

std::string ChatPrompt::render(const std::vector<ChatMessage>& messages) const {
  if (!template_) return render_plain(messages);
  return template_->render({.messages = messages, .arguments = arguments_});
}

std::string ChatPrompt::render(const std::string& system, const std::string& question) const {
  std::vector<ChatMessage> messages;
  if (!system.empty()) messages.push_back({.role = "system", .content = system});
  messages.push_back({.role = "user", .content = question});
  return render(messages);
}

std::vector<std::string> ChatPrompt::stops() const {
  return template_ ? std::vector<std::string>() : serve::plain_template().stops;
}

std::string template_arguments(const std::vector<std::string>& texts) {
  OrderedJson arguments = OrderedJson::object();
  for (const std::string& text : texts) add_argument(arguments, text);
  return arguments.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace dms::cli
