#pragma once
// The bounds of what a request asks for, in one place.

#include <cstdint>

#include "dms/request.h"

namespace dms::engine {

/// Throws InputError naming the parameter that is out of its range.
void check(const SamplingParams& params);
/// What does not depend on its sampling parameters alone.
void check(const Request& request, int64_t vocab);

}  // namespace dms::engine
