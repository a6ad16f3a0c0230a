// Own matrix products: choice of the kernel, and checks of what it is given.

#include <algorithm>

#include "cuda/kernels/matmul_thin.cuh"

namespace dms::cuda {
namespace {

class SimpleMatmul final : public Matmul {
 public:
  cudaError_t run(const MatmulParams& params, cudaStream_t stream) override;
};

template <int kRowTiles, int kOutputTiles>
cudaError_t launch_thin(const MatmulParams& params, cudaStream_t stream) {
  const dim3 grid((params.weights.rows + 16 * kOutputTiles - 1) / (16 * kOutputTiles),
                  (params.rows + 8 * kRowTiles - 1) / (8 * kRowTiles));
  thin_product<MatrixFormat::bf16, kRowTiles, kOutputTiles>
      <<<grid, 32 * kThinWarps, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t SimpleMatmul::run(const MatmulParams& params, cudaStream_t stream) {
  const MatrixView& weights = params.weights;
  if (params.rows < 0 || weights.rows <= 0 || weights.columns <= 0 || weights.columns % 32 != 0 ||
      (params.out == nullptr) == (params.out_bf16 == nullptr) ||
      (params.accumulate && params.out == nullptr)) {
    return cudaErrorInvalidValue;
  }
  if (params.rows == 0) return cudaSuccess;
  if (weights.format != MatrixFormat::bf16) return cudaErrorNotSupported;
  if (params.rows <= 8) return launch_thin<1, 1>(params, stream);
  return launch_thin<4, 2>(params, stream);
}

}  // namespace

std::unique_ptr<Matmul> make_simple_matmul(int32_t, int32_t) {
  return std::make_unique<SimpleMatmul>();
}

}  // namespace dms::cuda
