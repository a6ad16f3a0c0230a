#pragma once
// POST /tokenize and POST /detokenize.

#include <string_view>

#include "serve/prepared.h"

namespace dms::serve {

/// Both throw ApiError or InputError, and may be called by any thread.
OutJson tokenize(std::string_view body, const ServedModel& model, const Documents& documents);
OutJson detokenize(std::string_view body, const ServedModel& model, const Documents& documents);

}  // namespace dms::serve
