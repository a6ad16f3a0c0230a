#pragma once
// The bounds of SamplingParams, in one place.

#include "dms/sampling.h"

namespace dms::engine {

/// Throws InputError naming the parameter that is out of its range.
void check(const SamplingParams& params);

}  // namespace dms::engine
