#pragma once
// The endpoints of other APIs, which are chat completions in other words.

#include <string_view>

#include "serve/prepared.h"

namespace dms::serve {

/// POST /v1/responses and POST /v1/messages: as prepare_chat().
Prepared prepare_responses(std::string_view body, const ServedModel& model, const Planner& plan);
Prepared prepare_messages(std::string_view body, const ServedModel& model, const Planner& plan);
/// POST /v1/messages/count_tokens: as tokenize().
OutJson count_tokens(std::string_view body, const ServedModel& model, const Documents& documents);

}  // namespace dms::serve
