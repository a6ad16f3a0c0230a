#pragma once
// Which models the CUDA backend computes.

#include "model/spec/model_spec.h"

namespace dms::cuda {

/// Throws InputError that names what the backend does not compute, where `spec` asks for it.
void require_supported(const ModelSpec& spec);
/// The same of a device whose blocks may have so many bytes of shared memory: 99 KiB on 8.6
/// and 8.9, 163 KiB on 8.0, 227 KiB on 9.0.
void require_shared_memory(const ModelSpec& spec, int bytes);

}  // namespace dms::cuda
