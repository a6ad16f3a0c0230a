#pragma once
// The form that a request wants its answer in, as OpenAI (response_format), vLLM
// (structured_outputs, guided_*) and llama.cpp (grammar, json_schema) ask for it.

#include "dms/structure.h"
#include "serve/fields.h"

namespace dms::serve {

/// Kind none where nothing is asked for. Throws ApiError on a malformed field, and where two ask
/// for different forms. What the form itself is worth LLM::compile() says.
Structure read_structure(const Fields& body);

}  // namespace dms::serve
