#pragma once
// Which kernel computes a product, and its launch: one translation unit a format.

#include "cuda/kernels/matmul.h"

namespace dms::cuda {

enum class ProductKind : int32_t {
  thin,  // few rows: matmul_thin.cuh
  wide,  // many: matmul_wide.cuh
};

struct ProductChoice {
  ProductKind kind = ProductKind::thin;
  int32_t tile_rows = 8;      // thin: 8, 16 or 32; wide: 64 or 128
  int32_t tile_outputs = 16;  // thin: 16, or 32 with 8 warps; wide: 128
  int32_t warps = 8;          // of a block; thin: 8 or 16; wide: 8
};

template <MatrixFormat kFormat>
cudaError_t launch_product(const MatmulParams& params,
                           const ProductChoice& choice,
                           cudaStream_t stream);
/// Once, before the first launch.
template <MatrixFormat kFormat>
cudaError_t prepare_products();

}  // namespace dms::cuda
