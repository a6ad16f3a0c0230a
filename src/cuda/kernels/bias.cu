#include "cuda/kernels/bias.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kValues = 4;  // of a thread

__global__ void __launch_bounds__(kThreads) add_bias_kernel(BiasParams params) {
  const int column = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * kValues;
  if (column >= params.width) return;
  const float4 bias = *reinterpret_cast<const float4*>(params.bias + column);
  auto* out = reinterpret_cast<float4*>(params.out +
                                        static_cast<int64_t>(blockIdx.x) * params.width + column);
  const float4 x = *out;
  *out = {x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w};
}

}  // namespace

cudaError_t add_bias(const BiasParams& params, cudaStream_t stream) {
  if (params.width % kValues != 0) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  const int columns = kThreads * kValues;
  const dim3 grid(static_cast<unsigned>(params.rows),
                  static_cast<unsigned>((params.width + columns - 1) / columns));
  add_bias_kernel<<<grid, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
