#pragma once
// Random weights for benchmarks, written where they are used.

#include <cstdint>

#include "cuda/kernels/matmul.h"

namespace dms::cuda {

/// What a matrix is made of; pointers as MatrixView's, to be written.
struct RandomMatrixParams {
  MatrixFormat format = MatrixFormat::bf16;
  void* data = nullptr;
  float* scales = nullptr;
  __half* group_scales = nullptr;
  __half* group_minima = nullptr;
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 32
  uint64_t seed = 0;
  float limit = 1.0f;  // weights are uniform in [-limit, limit], or as near as the format comes
};

/// The same seed gives the same bytes on every device.
cudaError_t fill_random(const RandomMatrixParams& params, cudaStream_t stream);

/// out[i] = value.
cudaError_t fill_constant(float* out, int64_t count, float value, cudaStream_t stream);

}  // namespace dms::cuda
