#pragma once
// What a model's positions do to keys, queries and scores, as policies are told of it.

#include "model/spec/model_spec.h"
#include "policy/policy.h"

namespace dms::cpu {

policy::Rotations rotations_of(const ModelSpec& spec);
/// Empty where distances count for nothing.
policy::PositionBias position_bias(const ModelSpec& spec);

}  // namespace dms::cpu
