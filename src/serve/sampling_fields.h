#pragma once
// A request's fields about how tokens are chosen and where an answer ends.

#include "dms/sampling.h"
#include "serve/fields.h"
#include "serve/generation_request.h"

namespace dms::serve {

/// Everything but the log-probabilities and the most tokens. What a request leaves open is as the
/// model's folder recommends; where that recommends no sampling the temperature is 1, OpenAI's.
SamplingParams read_sampling(const Fields& body, const ModelFacts& model);

}  // namespace dms::serve
