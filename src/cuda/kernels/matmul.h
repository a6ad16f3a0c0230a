#pragma once
// out = x W^T (+ out): matrix products with weights of several formats. Two ways compute them:
// cuBLASLt where the build and the machine have it, and own simple kernels everywhere.

#include <cstdint>
#include <memory>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/kernels/device.h"

namespace dms::cuda {

enum class MatrixFormat : int32_t {
  bf16,  // [rows, columns]
  fp8,   // E4M3 [rows, columns], a float32 scale per row
  int4,  // [rows, columns / 2]: two codes a byte, the lower column in the lower half; per 32
         // columns of a row a half scale and a half minimum, as the CPU's quantised weights have
         // them (kernels/quantised_panel.h): x = minimum + scale * code
};

/// A matrix in device memory, rows = outputs.
struct MatrixView {
  MatrixFormat format = MatrixFormat::bf16;
  const void* data = nullptr;
  const float* scales = nullptr;         // fp8: [rows]
  const __half* group_scales = nullptr;  // int4: [rows, columns / 32]
  const __half* group_minima = nullptr;
  int32_t rows = 0;
  int32_t columns = 0;  // a multiple of 32
};

struct MatmulParams {
  MatrixView weights{};
  const __nv_bfloat16* x = nullptr;  // [rows, columns]
  float* out = nullptr;              // [rows, weights.rows], or
  __nv_bfloat16* out_bf16 = nullptr;
  bool accumulate = false;  // adds to `out` (float32 alone)
  int32_t rows = 0;
};

class Matmul {
 public:
  virtual ~Matmul() = default;
  /// Asynchronous; takes no memory and may be captured into a graph. Rows up to those of the
  /// making.
  virtual cudaError_t run(const MatmulParams& params, cudaStream_t stream) = 0;
};

/// Own kernels. `max_rows`, `max_columns`: of the products to come, for the room that they need.
std::unique_ptr<Matmul> make_simple_matmul(int32_t max_rows, int32_t max_columns);
/// Null where this build or machine has no cuBLASLt.
std::unique_ptr<Matmul> make_cublaslt_matmul(int32_t max_rows, int32_t max_columns);

}  // namespace dms::cuda
