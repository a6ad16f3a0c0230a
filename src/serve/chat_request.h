#pragma once
// The body of POST /v1/chat/completions, and the conversation in that of POST /tokenize.

#include <string>
#include <string_view>

#include "dms/chat.h"
#include "serve/generation_request.h"
#include "serve/tool_request.h"

namespace dms::serve {

struct Conversation {
  ChatRequest chat{};
  ToolRequest tools{};
  bool continue_final_message = false;  // the last message is not ended: the answer goes on with it
};

struct ChatCompletionRequest {
  GenerationRequest common{};
  Conversation conversation{};
  bool include_reasoning = true;
};

/// Throws ApiError on malformed messages and tools, and on parts that are no text.
Conversation read_conversation(const Fields& body, const RequestLimits& limits);

/// Both throw ApiError.
ChatCompletionRequest parse_chat_request(std::string_view body, const ModelFacts& model);
ChatCompletionRequest read_chat_request(const Fields& body, const ModelFacts& model);

}  // namespace dms::serve
