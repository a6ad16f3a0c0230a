#pragma once
// Which models the CUDA backend computes.

#include "model/spec/model_spec.h"

namespace dms::cuda {

/// Throws InputError that names what the backend does not compute, where `spec` asks for it.
void require_supported(const ModelSpec& spec);

}  // namespace dms::cuda
