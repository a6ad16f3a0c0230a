#pragma once
// The document that a request names, and what the model reads of such a request. May be called by
// any thread.

#include <cstdint>
#include <string>

#include "serve/documents.h"
#include "serve/prepared.h"

namespace dms::serve {

/// Null where the name is empty. Throws ApiError: 404 where there is none of this name, 400 where
/// `is_chat` says that it was made for the other endpoint.
EntryPointer asked_document(const std::string& name, const Documents& documents, bool is_chat);

/// As render(), of a conversation that comes after the document's messages. Throws InputError where
/// the template then does not begin with the document as it was made.
RenderedChat render_after(const EntryPointer& document,
                          Conversation conversation,
                          const ServedModel& model,
                          int64_t max_tokens);

}  // namespace dms::serve
