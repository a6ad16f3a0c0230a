#pragma once
// The body of POST /v1/responses, OpenAI's Responses API, as that of a chat completion.

#include "serve/apis/chat_body.h"

namespace dms::serve {

struct ResponsesRequest {
  ChatBody chat;
  OutJson echo = OutJson::object();  // what the answer repeats
};

/// Throws ApiError.
ResponsesRequest read_responses_request(const OrderedJson& json, const RequestLimits& limits);

}  // namespace dms::serve
