// Own matrix products: the choice of the kernel, and a check of what it is given.

#include "cuda/kernels/matmul_launch.h"

namespace dms::cuda {
namespace {

constexpr int kFallbackMultiprocessors = 100;

int count_multiprocessors() {
  int device = 0;
  int count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    return kFallbackMultiprocessors;
  }
  return count;
}

cudaError_t prepare_all() {
  if (const auto status = prepare_products<MatrixFormat::bf16>(); status != cudaSuccess) {
    return status;
  }
  if (const auto status = prepare_products<MatrixFormat::fp8>(); status != cudaSuccess) {
    return status;
  }
  return prepare_products<MatrixFormat::int4>();
}

bool are_valid(const MatmulParams& params) {
  const MatrixView& weights = params.weights;
  const bool has_one_output = (params.out == nullptr) != (params.out_bf16 == nullptr);
  return params.rows >= 0 && weights.rows > 0 && weights.columns > 0 && weights.columns % 32 == 0 &&
         has_one_output && (!params.accumulate || params.out != nullptr);
}

class SimpleMatmul final : public Matmul {
 public:
  SimpleMatmul() : prepared_(prepare_all()), multiprocessors_(count_multiprocessors()) {}

  cudaError_t run(const MatmulParams& params, cudaStream_t stream) override;

 private:
  ProductChoice choose(int32_t rows, int32_t outputs) const;

  cudaError_t prepared_;
  int multiprocessors_;
};

/// Larger tiles read less, smaller ones fill the device: 16 warps a multiprocessor come first. The
/// number of warps, on which sums depend, does not depend on the rows.
ProductChoice SimpleMatmul::choose(int32_t rows, int32_t outputs) const {
  const int64_t wanted = 2 * multiprocessors_;
  if (rows <= kMostThinRows) {
    return {.kind = ProductKind::thin,
            .tile_rows = rows <= 8 ? 8 : (rows <= 16 ? 16 : 32),
            .tile_outputs = outputs / 32 >= wanted ? 32 : 16,
            .warps = outputs / 16 >= wanted ? 8 : 16};
  }
  const int64_t large_tiles = int64_t{(rows + 127) / 128} * ((outputs + 127) / 128);
  return {.kind = ProductKind::wide,
          .tile_rows = large_tiles >= wanted ? 128 : 64,
          .tile_outputs = 128,
          .warps = 8};
}

cudaError_t SimpleMatmul::run(const MatmulParams& params, cudaStream_t stream) {
  if (prepared_ != cudaSuccess) return prepared_;
  if (!are_valid(params)) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  const ProductChoice choice = choose(params.rows, params.weights.rows);
  switch (params.weights.format) {
    case MatrixFormat::bf16:
      return launch_product<MatrixFormat::bf16>(params, choice, stream);
    case MatrixFormat::fp8:
      return launch_product<MatrixFormat::fp8>(params, choice, stream);
    case MatrixFormat::int4:
      return launch_product<MatrixFormat::int4>(params, choice, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

std::unique_ptr<Matmul> make_simple_matmul(int32_t, int32_t) {
  return std::make_unique<SimpleMatmul>();
}

}  // namespace dms::cuda
