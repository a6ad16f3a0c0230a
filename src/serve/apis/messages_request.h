#pragma once
// The body of POST /v1/messages, Anthropic's Messages API, as that of a chat completion.

#include "serve/apis/chat_body.h"

namespace dms::serve {

/// Both throw ApiError. The second reads a body of POST /v1/messages/count_tokens, which asks for
/// no answer.
ChatBody read_messages_request(const OrderedJson& json, const RequestLimits& limits);
ChatBody read_count_request(const OrderedJson& json, const RequestLimits& limits);

}  // namespace dms::serve
