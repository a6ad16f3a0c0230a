#pragma once
// How the served model writes a conversation.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dms/chat.h"
#include "serve/chat_request.h"
#include "serve/tool_form.h"

namespace dms::serve {

struct ChatFormat {
  std::optional<ChatTemplate> chat_template{};
  bool adds_special_tokens = false;  // the tokenizer does, because the template writes none
  const ToolForm* tools = nullptr;   // how the model writes calls; null: they stay text
  std::vector<std::string> stops{};  // end an answer although the model has not said so
  bool strips_agent_lines = false;   // lines of system prompts that break the prefix cache
};

/// The conversation up to where the answer begins; more than `max_tokens` ids where it is too long.
/// Throws ApiError where there is no template, InputError where it refuses the messages.
RenderedChat render(const Conversation& conversation,
                    const ChatFormat& format,
                    const Tokenizer& tokenizer,
                    int64_t max_tokens);

}  // namespace dms::serve
