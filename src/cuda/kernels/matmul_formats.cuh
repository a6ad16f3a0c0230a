#pragma once
// launch_product() for every format: the thin kernels and the wide ones together.

#include "cuda/kernels/matmul_thin_int4.cuh"
#include "cuda/kernels/matmul_wide.cuh"

namespace dms::cuda {

template <MatrixFormat kFormat>
cudaError_t launch_product(const MatmulParams& params,
                           const ProductChoice& choice,
                           cudaStream_t stream) {
  return choice.kind == ProductKind::thin ? launch_thin<kFormat>(params, choice, stream)
                                          : launch_wide<kFormat>(params, choice, stream);
}

template <MatrixFormat kFormat>
cudaError_t prepare_products() {
  return prepare_wide<kFormat>();
}

}  // namespace dms::cuda
