#pragma once
// Norms and the embedding look-up. Rows are float32 in the residual stream, bf16 where a matrix
// product reads them. Widths are multiples of 8. All functions: asynchronous on `stream`, no
// allocation.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

inline constexpr int32_t kMostNormWidth = 16384;

enum class NormKind : int32_t { rms, layer };

struct NormParams {
  NormKind kind = NormKind::rms;
  const float* x = nullptr;      // [rows, width]
  const float* scale = nullptr;  // [width]
  const float* bias = nullptr;   // [width], or null
  __nv_bfloat16* out = nullptr;  // [rows, width], or null: not wanted
  float* out_f32 = nullptr;      // the same unrounded, likewise; may be x
  int32_t rows = 0;
  int32_t width = 0;  // up to kMostNormWidth
  float eps = 1e-5f;
};

/// One block a row; the sum's order does not depend on the other rows.
cudaError_t norm(const NormParams& params, cudaStream_t stream);

struct EmbedParams {
  const __nv_bfloat16* table = nullptr;  // [vocab, width]
  const int32_t* tokens = nullptr;       // [rows]
  float* out = nullptr;                  // [rows, width]
  int32_t rows = 0;
  int32_t width = 0;
  float scale = 1.0f;
};

cudaError_t embed(const EmbedParams& params, cudaStream_t stream);

/// Copies the rows whose logits are wanted: out[i] = x[row_of[i]].
struct GatherRowsParams {
  const float* x = nullptr;         // [any, width]
  const int32_t* row_of = nullptr;  // [rows]
  float* out = nullptr;             // [rows, width]
  int32_t rows = 0;
  int32_t width = 0;
};

cudaError_t gather_rows(const GatherRowsParams& params, cudaStream_t stream);

}  // namespace dms::cuda
