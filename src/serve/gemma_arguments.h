#pragma once
// How FunctionGemma's arguments are to be written: {city:<escape>Paris<escape>,days:3}.

#include "serve/api_error.h"
#include "serve/tool.h"

namespace dms::serve {

/// A part of a structural tag; `is_held`: to the function's schema. Throws ApiError where a strict
/// function's schema asks for what an answer cannot be held to, or a name cannot stand there.
OutJson gemma_arguments(const Tool& tool, bool is_held);

}  // namespace dms::serve
