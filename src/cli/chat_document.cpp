#include "cli/chat_document.h"

#include <utility>

#include "dms/document_prompt.h"
#include "dms/error.h"

namespace dms::cli {

ChatDocument read_chat_document(LLM& llm, const std::filesystem::path& file) {
  const DocumentFile found = llm.open_document(file);
  DocumentNote note = read_note(found.note(), file.string());
  if (note.messages.empty()) {
    throw InputError({.where = file.string(),
                      .what = "was made of a prompt",
                      .expected = "a document of messages, which a conversation goes on from"});
  }
  llm.check_document(found);
  return {.document = llm.load_document(found), .messages = std::move(note.messages)};
}

}  // namespace dms::cli
