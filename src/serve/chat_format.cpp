#include "serve/chat_format.h"

#include <algorithm>
#include <string_view>

#include "serve/agent_lines.h"
#include "serve/shown_tools.h"

namespace dms::serve {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view without_blanks(std::string_view text, bool at_end) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(begin);
  return at_end ? text.substr(0, text.find_last_not_of(kBlanks) + 1) : text;
}

/// Cuts what the template writes after the last message, as transformers does: a message whose
/// blanks it has kept ends with them.
void leave_open(std::string& text, const std::string& last_message) {
  const std::string_view trimmed = without_blanks(last_message, true);
  const std::string_view with_end = without_blanks(last_message, false);
  const size_t at = trimmed.empty() ? std::string::npos : text.rfind(trimmed);
  if (at == std::string::npos) {
    throw ApiError(400,
                   "continue_final_message: the chat template does not write the last message as "
                   "it is; end the conversation with a message of text",
                   "continue_final_message");
  }
  const bool is_kept = std::string_view(text).substr(at).starts_with(with_end);
  text.resize(at + (is_kept ? with_end : trimmed).size());
}

/// A conversation of nothing but such lines is what they say.
std::string write(const ChatRequest& chat, const ChatFormat& format) {
  const bool has_argument = format.tools != nullptr && !format.tools->shown_as.empty();
  if (!has_argument && !format.strips_agent_lines) return format.chat_template->render(chat);
  const ChatRequest shown = with_shown_tools(chat, format.tools);
  if (!format.strips_agent_lines) return format.chat_template->render(shown);
  ChatRequest stripped = shown;
  strip_agent_lines(stripped);
  return format.chat_template->render(stripped.messages.empty() ? shown : stripped);
}

}  // namespace

RenderedChat render(const Conversation& conversation,
                    const ChatFormat& format,
                    const Tokenizer& tokenizer,
                    int64_t max_tokens) {
  if (!format.chat_template) {
    throw ApiError(400,
                   "messages: the model has no chat template; use /v1/completions, or start the "
                   "server with --template",
                   "messages");
  }
  RenderedChat out{.text = write(conversation.chat, format), .ids = {}};
  if (conversation.continue_final_message) {
    leave_open(out.text, conversation.chat.messages.back().content);
  }
  out.ids = tokenizer.encode(out.text, format.adds_special_tokens, max_tokens);
  return out;
}

}  // namespace dms::serve
