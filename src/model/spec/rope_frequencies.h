#pragma once
// The rotary angles' frequencies, for all scalings that RopeSpec knows. Formulas as in
// transformers' modeling_rope_utils.

#include <cstdint>
#include <vector>

#include "model/spec/model_spec.h"

namespace dms {

/// Inverse frequencies, float32 [rotary_dim / 2]. `prompt_tokens`: length of the sequence's first
/// prompt, which `dynamic` and `longrope` scaling depend on.
std::vector<float> inverse_frequencies(const RopeSpec& rope, int64_t prompt_tokens);

/// What cos and sin are multiplied by (yarn, longrope; 1 otherwise).
float attention_factor(const RopeSpec& rope);

}  // namespace dms
