#pragma once
// cos and sin of every position that a model has, in device memory: the CPU's numbers
// (model/rope_table.h).

#include <cuda_runtime_api.h>

#include "cuda/memory.h"
#include "model/spec/model_spec.h"

namespace dms::cuda {

/// float2 [context, rotary_dim / 2]; empty where no head turns.
DeviceBuffer rope_angles(const ModelSpec& spec);

}  // namespace dms::cuda
