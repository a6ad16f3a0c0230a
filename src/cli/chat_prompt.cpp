#include "cli/chat_prompt.h"

#include <algorithm>

#include "cli/input.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kPlain = "plain";

std::string plain_name(const std::string& role) {
  if (role == "system") return "System";
  return role == "user" ? "User" : "Assistant";
}

std::string render_plain(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) {
    text += plain_name(message.role) + ": " + message.content + "\n";
  }
  return text + "Assistant:";
}

}  // namespace

ChatPrompt ChatPrompt::make(const std::filesystem::path& folder, const std::string& choice) {
  ChatPrompt prompt;
  if (choice == kPlain) return prompt;
  prompt.source_ = choice.empty() ? folder.string() : choice;
  if (choice.empty()) {
    prompt.template_ = text::load_chat_template(folder);
  } else {
    prompt.template_ = {.chat_template = text::ChatTemplate(read_text(choice), choice),
                        .special_tokens = text::load_special_tokens(folder)};
  }
  if (!prompt.template_) {
    throw InputError({.where = folder.string(),
                      .what = "the model has no chat template",
                      .hint = "give one with --template FILE, or use --template plain"});
  }
  return prompt;
}

std::string ChatPrompt::render(const std::vector<Message>& messages) const {
  if (!template_) return render_plain(messages);
  text::ChatRequest request;
  for (const Message& message : messages) {
    request.messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  request.special_tokens = template_->special_tokens;
  return template_->chat_template.render(request);
}

std::vector<std::string> ChatPrompt::stops() const {
  if (template_) return {};
  return {"\nUser:", "\nSystem:"};
}

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace dms::cli
