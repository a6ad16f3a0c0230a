#pragma once
// Which models the trainer computes.

#include "model/spec/model_spec.h"

namespace dms::train {

/// Throws InputError naming the first thing that `spec` asks for and training does not compute.
void require_trainable(const ModelSpec& spec);

}  // namespace dms::train
