#pragma once
// RoPE settings in both of config.json's forms: transformers 4 (rope_theta beside rope_scaling) and
// 5 (rope_parameters).

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms {

/// Fills spec.rope from `config`; needs spec.head_dim and, as config.json states it, spec.context,
/// which becomes the length that the scaling is meant for. What is replaced goes to spec.notes.
/// Throws InputError on unknown scalings.
void read_rope(const JsonFields& config, ModelSpec& spec);

}  // namespace dms
