// Norms and copies of rows, 16 bytes a load. A norm keeps its row in registers between the sum and
// the product, so that x is read once and out_f32 may be x.

#include "cuda/kernels/norm.h"
#include "cuda/kernels/ptx.cuh"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kStep = kThreads * 4;  // values that a block takes at a time

__device__ __forceinline__ float4 load4(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}

__device__ __forceinline__ float4 scaled(float4 x, float mean, float factor, float4 scale) {
  return {(x.x - mean) * factor * scale.x,
          (x.y - mean) * factor * scale.y,
          (x.z - mean) * factor * scale.z,
          (x.w - mean) * factor * scale.w};
}

__device__ __forceinline__ float4 plus(float4 a, float4 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

__device__ __forceinline__ float squares(float4 x, float mean) {
  const float4 d{x.x - mean, x.y - mean, x.z - mean, x.w - mean};
  return (d.x * d.x + d.y * d.y) + (d.z * d.z + d.w * d.w);
}

/// kVectors: of 4 values that a thread holds, at least width / kStep.
template <int kVectors, NormKind kKind>
__global__ void __launch_bounds__(kThreads) norm_kernel(const NormParams params) {
  __shared__ float scratch[2][kThreads / kWarpLanes];
  const int64_t row_at = static_cast<int64_t>(blockIdx.x) * params.width;
  const int first = static_cast<int>(threadIdx.x) * 4;
  float4 x[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int c = first + v * kStep;
    if (c < params.width) x[v] = load4(params.x + row_at + c);
  }
  const auto width = static_cast<float>(params.width);
  float mean = 0.0f;
  if constexpr (kKind == NormKind::layer) {
    float sum = 0.0f;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      if (first + v * kStep < params.width) sum += (x[v].x + x[v].y) + (x[v].z + x[v].w);
    }
    mean = block_sum<kThreads>(sum, scratch[0]) / width;
  }
  float sum = 0.0f;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (first + v * kStep < params.width) sum += squares(x[v], mean);
  }
  const float factor = 1.0f / sqrtf(block_sum<kThreads>(sum, scratch[1]) / width + params.eps);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int c = first + v * kStep;
    if (c >= params.width) continue;
    float4 y = scaled(x[v], mean, factor, load4(params.scale + c));
    if (params.bias != nullptr) y = plus(y, load4(params.bias + c));
    if (params.out != nullptr) {
      *reinterpret_cast<uint2*>(params.out + row_at + c) = {pack_bf16(y.x, y.y),
                                                            pack_bf16(y.z, y.w)};
    }
    if (params.out_f32 != nullptr) *reinterpret_cast<float4*>(params.out_f32 + row_at + c) = y;
  }
}

template <int kVectors>
cudaError_t launch_norm(const NormParams& params, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(params.rows);
  if (params.kind == NormKind::rms) {
    norm_kernel<kVectors, NormKind::rms><<<blocks, kThreads, 0, stream>>>(params);
  } else {
    norm_kernel<kVectors, NormKind::layer><<<blocks, kThreads, 0, stream>>>(params);
  }
  return cudaGetLastError();
}

__device__ __forceinline__ float2 widened(uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

/// 8 values a thread.
__global__ void __launch_bounds__(kThreads) embed_kernel(const EmbedParams params) {
  const int c = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * 8;
  if (c >= params.width) return;
  const int64_t token = params.tokens[blockIdx.x];
  const uint4 x = *reinterpret_cast<const uint4*>(params.table + token * params.width + c);
  const float2 a = widened(x.x);
  const float2 b = widened(x.y);
  const float2 d = widened(x.z);
  const float2 e = widened(x.w);
  const float s = params.scale;
  auto* out =
      reinterpret_cast<float4*>(params.out + static_cast<int64_t>(blockIdx.x) * params.width + c);
  out[0] = {a.x * s, a.y * s, b.x * s, b.y * s};
  out[1] = {d.x * s, d.y * s, e.x * s, e.y * s};
}

__global__ void __launch_bounds__(kThreads) gather_kernel(const GatherRowsParams params) {
  const int c = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * 4;
  if (c >= params.width) return;
  const int64_t from = params.row_of[blockIdx.x];
  *reinterpret_cast<float4*>(params.out + static_cast<int64_t>(blockIdx.x) * params.width + c) =
      load4(params.x + from * params.width + c);
}

/// Of blocks that take `values` values of a row each.
dim3 grid_of_rows(int32_t rows, int32_t width, int values) {
  return {static_cast<unsigned>(rows), static_cast<unsigned>((width + values - 1) / values)};
}

}  // namespace

cudaError_t norm(const NormParams& params, cudaStream_t stream) {
  if (params.width % 4 != 0 || params.width > kMostNormWidth) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  if (params.width <= kStep) return launch_norm<1>(params, stream);
  if (params.width <= 4 * kStep) return launch_norm<4>(params, stream);
  return launch_norm<16>(params, stream);
}

cudaError_t embed(const EmbedParams& params, cudaStream_t stream) {
  if (params.width % 8 != 0) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  embed_kernel<<<grid_of_rows(params.rows, params.width, kThreads * 8), kThreads, 0, stream>>>(
      params);
  return cudaGetLastError();
}

cudaError_t gather_rows(const GatherRowsParams& params, cudaStream_t stream) {
  if (params.width % 4 != 0) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  gather_kernel<<<grid_of_rows(params.rows, params.width, kStep), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
