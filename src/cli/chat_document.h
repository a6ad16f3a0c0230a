#pragma once
// The document that a conversation goes on from: the messages that it begins with, whose cache was
// computed once.

#include <filesystem>
#include <vector>

#include "dms/chat.h"
#include "dms/document.h"
#include "dms/llm.h"

namespace dms::cli {

struct ChatDocument {
  Document document;
  std::vector<ChatMessage> messages;
};

/// What `dms document` or a server has written. Throws InputError where it is damaged, of another
/// model, or made of a prompt, RunError at the memory limit.
ChatDocument read_chat_document(LLM& llm, const std::filesystem::path& file);

}  // namespace dms::cli
