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

/// Products of at most so many rows read weights once for all of them; kernels for more use tiles.
inline constexpr int32_t kMostThinRows = 32;

/// Own kernels, for any number of rows. Matrices' data and activations begin at multiples of 16
/// bytes, outputs at even elements where the matrix has an even number of rows. What a row's result
/// is depends on the matrix, the device and whether there are more than kMostThinRows rows, not on
/// how many, nor on the others. int4 weights of products with more rows are rounded to bf16; those
/// of fewer are exact. Takes no room: the arguments do not matter.
std::unique_ptr<Matmul> make_simple_matmul(int32_t max_rows, int32_t max_columns);

/// cuBLASLt for more than `thin_rows` rows of bf16, and of FP8 where the device multiplies FP8 by
/// FP8 under a scale per row and output: activations are then rounded to E4M3, a scale a row. All
/// else by own kernels, as what cuBLASLt has no algorithm for. For one stream: its runs share room.
/// The first run of a shape asks cuBLASLt for an algorithm and may load it; runs from the second on
/// may be captured. Null where this build or machine has no cuBLASLt.
std::unique_ptr<Matmul> make_cublaslt_matmul(int32_t max_rows,
                                             int32_t max_columns,
                                             int32_t thin_rows = kMostThinRows);

}  // namespace dms::cuda
