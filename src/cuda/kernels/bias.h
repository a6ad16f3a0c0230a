#pragma once
// What a product that adds to the residual stream lacks.

#include <cstdint>

#include "cuda/kernels/device.h"

namespace dms::cuda {

struct BiasParams {
  const float* bias = nullptr;  // [width]
  float* out = nullptr;         // [rows, width]
  int32_t rows = 0;
  int32_t width = 0;  // a multiple of 4
};

/// Adds the bias to each row.
cudaError_t add_bias(const BiasParams& params, cudaStream_t stream);

}  // namespace dms::cuda
