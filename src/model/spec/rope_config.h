#pragma once
// RoPE settings in both of config.json's forms: transformers 4 (rope_theta beside rope_scaling) and
// 5 (rope_parameters).

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms {

/// Fills spec.rope from `config`; needs spec.head_dim and spec.context, and multiplies the context
/// where the scaling (`dynamic`) means it to grow. Throws InputError on unknown scalings.
void read_rope(const JsonFields& config, ModelSpec& spec);

}  // namespace dms
