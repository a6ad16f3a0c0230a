#pragma once
// The negative log-likelihood of a token under a row of logits.

#include <cstdint>
#include <span>

namespace dms::eval {

/// -log softmax(logits)[token] in nats, summed in double. NaN where the logits hold NaN.
double negative_log_likelihood(std::span<const float> logits, int32_t token);

}  // namespace dms::eval
