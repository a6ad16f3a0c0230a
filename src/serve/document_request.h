#pragma once
// PUT /documents/NAME: what is to be kept. A document is the first part of prompts: of
// conversations, the messages that they begin with; of completions, a text's beginning.

#include <cstdint>
#include <string_view>
#include <vector>

#include "dms/document_prompt.h"
#include "serve/prepared.h"

namespace dms::serve {

struct DocumentRequest {
  std::vector<int32_t> ids{};
  CacheOptions cache{};
  DocumentNote note{};
};

/// A JSON body: {"messages": […]} or {"prompt": text or ids}, and perhaps {"dms": {"policy": …}};
/// or, where it `is_text`, a text by itself, as a system message where the model has a chat
/// template. Throws ApiError or InputError. It tokenizes, so that a long one takes a while.
DocumentRequest read_document(std::string_view body,
                              bool is_text,
                              const ServedModel& model,
                              const Planner& plan);

}  // namespace dms::serve
