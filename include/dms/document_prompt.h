#pragma once
// What a document is made of: the first part of prompts. Of conversations these are the messages
// that they begin with, as the chat template writes them; of other prompts, a text's beginning. Its
// file says which, so that a server, a program and a terminal can go on from the same one.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dms/chat.h"

namespace dms {

/// What the file of a document says besides its cache (Document::save()).
struct DocumentNote {
  std::vector<ChatMessage> messages{};  // empty: the document is a text's beginning
  int64_t created = 0;                  // seconds since 1970
};

std::string write_note(const DocumentNote& note);
/// Throws InputError, naming `where`, on what is no such note, as that of a session's file.
DocumentNote read_note(std::string_view text, const std::string& where);

/// Writes a conversation up to where the assistant speaks next.
using ChatWriter = std::function<RenderedChat(const std::vector<ChatMessage>& messages)>;

/// The tokens with which every conversation begins that goes on from `messages` with one of a user.
/// It has the whole written and tokenized some times. Throws InputError where the template writes
/// no such beginning, and what `write` throws.
std::vector<int32_t> common_beginning(const std::vector<ChatMessage>& messages,
                                      const ChatWriter& write);

/// Templates that write the date, or the last message's place, may write a document differently:
/// throws InputError where `prompt` has no more than `document` or begins otherwise.
void require_beginning(std::span<const int32_t> document, std::span<const int32_t> prompt);

}  // namespace dms
