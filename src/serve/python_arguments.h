#pragma once
// How keyword arguments of Python's are to be written: city="Paris", days=3, when=None.

#include "serve/api_error.h"
#include "serve/tool.h"

namespace dms::serve {

/// A part of a structural tag. Throws ApiError where a strict function's schema asks for what an
/// answer cannot be held to, or a name is none of an argument's.
OutJson python_arguments(const Tool& tool);

}  // namespace dms::serve
