#pragma once
// What a request of OpenAI's Responses API says: "instructions" and the items of "input", as the
// messages of a chat completion. Reasoning, text and calls that follow one another are one message
// of the assistant; system and developer messages at the beginning are one system message, which
// is all that many templates have a place for.

#include "serve/apis/field_names.h"
#include "serve/fields.h"

namespace dms::serve {

/// The messages; `names` learns what each was made of. Throws ApiError.
OrderedJson read_responses_input(const Fields& body,
                                 const RequestLimits& limits,
                                 FieldNames& names);

}  // namespace dms::serve
