#pragma once
// Conversations on the disk. With its cache one is a folder of two files: conversation.json (the
// messages) and session.dms (Session::save()). Without it is a JSON array of messages.

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/json.h"
#include "dms/chat.h"
#include "dms/llm.h"

namespace dms::cli {

struct SavedConversation {
  std::vector<ChatMessage> messages;
  int64_t beginning = 0;  // of them stand before the first question
  int64_t retries = 0;    // how often the last question was answered again
};

/// Whole or not at all; replaces an earlier one of that name, and nothing else. Throws InputError
/// where it cannot be made, RunError on a full disk.
void write_conversation(const std::filesystem::path& folder,
                        const SavedConversation& conversation,
                        Session& session);
/// All but the session. Throws InputError where something is wrong with it.
SavedConversation read_conversation(const std::filesystem::path& folder);
/// Where a conversation's session lies.
std::filesystem::path session_file_of(const std::filesystem::path& folder);

/// How many of these stand before the first question: one system message or none.
int64_t messages_begin(const std::vector<ChatMessage>& messages);
/// [{"role": …, "content": …}, …]
OrderedJson messages_json(const std::vector<ChatMessage>& messages);
void write_messages(const std::filesystem::path& file, const std::vector<ChatMessage>& messages);
/// Questions and answers in turn, after one system message or none. Throws InputError else.
std::vector<ChatMessage> read_messages(const std::filesystem::path& file);

}  // namespace dms::cli
