#pragma once
// Activations in FP8, for products of FP8 by FP8.

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "cuda/kernels/device.h"

namespace dms::cuda {

struct QuantiseRowsParams {
  const __nv_bfloat16* x = nullptr;     // [rows, columns]
  __nv_fp8_storage_t* codes = nullptr;  // E4M3 [rows, columns]
  float* scales = nullptr;              // [rows]: x = scale * code, the largest code being 448
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 8
};

cudaError_t quantise_rows(const QuantiseRowsParams& params, cudaStream_t stream);

}  // namespace dms::cuda
