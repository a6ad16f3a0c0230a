#pragma once
// Fields of OpenAI's and vLLM's APIs that would change an answer and that this server does not
// know: to ignore them would be to answer another question.

#include "serve/fields.h"

namespace dms::serve {

/// Throws ApiError where one is set to more than what it means to leave it out.
void refuse_unsupported(const Fields& body);

}  // namespace dms::serve
