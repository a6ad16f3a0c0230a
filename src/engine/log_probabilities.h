#pragma once
// How likely a token was under the model's own logits.

#include <cstdint>
#include <span>

#include "dms/request.h"

namespace dms::engine {

/// The log-probability of `token`, and the `count` likeliest tokens (at most the vocabulary) in
/// falling order, the lower id first where they tie. `logits` [vocab].
TokenChoice choice_of(std::span<const float> logits, int32_t token, int64_t count);

}  // namespace dms::engine
