// The MLP's activation: 8 values a thread, in 16-byte loads and stores.

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kValues = 8;
constexpr int kHalf = 16;  // columns of the gate, then as many of up

struct Values {
  float x[kValues];
};

__device__ __forceinline__ Values load(const __nv_bfloat16* x, const float* bias) {
  const uint4 bits = *reinterpret_cast<const uint4*>(x);
  const uint32_t pairs[4] = {bits.x, bits.y, bits.z, bits.w};
  Values values;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values.x[2 * i] = __uint_as_float(pairs[i] << 16);
    values.x[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
  }
  if (bias != nullptr) {
    const float4 low = *reinterpret_cast<const float4*>(bias);
    const float4 high = *reinterpret_cast<const float4*>(bias + 4);
    const float add[kValues] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < kValues; ++i) values.x[i] += add[i];
  }
  return values;
}

template <ActivationKind kKind>
__global__ void __launch_bounds__(kThreads) activate_kernel(const ActivationParams params) {
  const int64_t row = blockIdx.x;
  const int c = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * kValues;
  if (c >= params.width) return;
  const int column = params.gated ? c / kHalf * (2 * kHalf) + c % kHalf : c;
  const __nv_bfloat16* x = params.x + row * params.width * (params.gated ? 2 : 1) + column;
  const float* bias = params.bias == nullptr ? nullptr : params.bias + column;
  Values values = load(x, bias);
#pragma unroll
  for (float& value : values.x) value = activated<kKind>(value);
  if (params.gated) {
    const Values up = load(x + kHalf, bias == nullptr ? nullptr : bias + kHalf);
#pragma unroll
    for (int i = 0; i < kValues; ++i) values.x[i] *= up.x[i];
  }
  *reinterpret_cast<uint4*>(params.out + row * params.width + c) = {
      pack_bf16(values.x[0], values.x[1]),
      pack_bf16(values.x[2], values.x[3]),
      pack_bf16(values.x[4], values.x[5]),
      pack_bf16(values.x[6], values.x[7])};
}

}  // namespace

cudaError_t activate(const ActivationParams& params, cudaStream_t stream) {
  if (params.width % (params.gated ? kHalf : kValues) != 0) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  const int values = kThreads * kValues;
  const dim3 grid(static_cast<unsigned>(params.rows),
                  static_cast<unsigned>((params.width + values - 1) / values));
  switch (params.kind) {
    case ActivationKind::silu:
      activate_kernel<ActivationKind::silu><<<grid, kThreads, 0, stream>>>(params);
      break;
    case ActivationKind::gelu:
      activate_kernel<ActivationKind::gelu><<<grid, kThreads, 0, stream>>>(params);
      break;
    case ActivationKind::gelu_tanh:
      activate_kernel<ActivationKind::gelu_tanh><<<grid, kThreads, 0, stream>>>(params);
      break;
    case ActivationKind::relu:
      activate_kernel<ActivationKind::relu><<<grid, kThreads, 0, stream>>>(params);
      break;
  }
  return cudaGetLastError();
}

}  // namespace dms::cuda
