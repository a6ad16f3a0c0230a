#include "serve/asked_document.h"

#include <utility>
#include <vector>

#include "dms/document_prompt.h"

namespace dms::serve {

EntryPointer asked_document(const std::string& name, const Documents& documents, bool is_chat) {
  if (name.empty()) return nullptr;
  EntryPointer entry = documents.find(name);
  if (!entry) {
    throw ApiError(404,
                   "dms.document: there is none of this name; see GET /documents",
                   "dms.document",
                   "document_not_found");
  }
  if (entry->is_chat() == is_chat) return entry;
  throw ApiError(400,
                 entry->is_chat() ? "dms.document: it was made of messages: ask it by "
                                    "/v1/chat/completions"
                                  : "dms.document: it was made of a prompt: ask it by "
                                    "/v1/completions",
                 "dms.document");
}

RenderedChat render_after(const EntryPointer& document,
                          Conversation conversation,
                          const ServedModel& model,
                          int64_t max_tokens) {
  if (document) {
    std::vector<ChatMessage>& messages = conversation.chat.messages;
    messages.insert(messages.begin(), document->messages.begin(), document->messages.end());
  }
  RenderedChat chat = render(conversation, model.chat, model.tokenizer, max_tokens);
  if (document) require_beginning(document->ids, chat.ids);
  return chat;
}

}  // namespace dms::serve
