#pragma once
// The MLP's activation, and its product with the other half where the MLP is gated.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/device.h"

namespace dms::cuda {

enum class ActivationKind : int32_t { silu, gelu, gelu_tanh, relu };

struct ActivationParams {
  ActivationKind kind = ActivationKind::silu;
  bool gated = true;
  const __nv_bfloat16* x = nullptr;  // [rows, 2 * width], by 32: 16 of the gate, 16 of up; or
                                     // [rows, width] where it is not gated
  const float* bias = nullptr;       // of x's columns, in x's order, or null
  __nv_bfloat16* out = nullptr;      // [rows, width]
  int32_t rows = 0;
  int32_t width = 0;  // a multiple of 16 where it is gated
};

cudaError_t activate(const ActivationParams& params, cudaStream_t stream);

}  // namespace dms::cuda
