#pragma once
// What the file of a document says besides its cache: the messages that it stands for, as JSON, and
// when it was made.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dms/chat.h"
#include "serve/fields.h"

namespace dms::serve {

struct DocumentNote {
  OrderedJson messages{};  // null: the document is a text's beginning
  int64_t created = 0;     // seconds since 1970
};

std::string write_note(const DocumentNote& note);
/// Throws ApiError where it is no such note.
DocumentNote read_note(std::string_view text);

/// Throws ApiError on a malformed message.
std::vector<ChatMessage> note_messages(const DocumentNote& note);

}  // namespace dms::serve
