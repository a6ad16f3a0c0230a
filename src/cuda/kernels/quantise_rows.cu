#include "cuda/kernels/quantise_rows.h"

namespace dms::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kValues = 8;  // 16 bytes of a row
constexpr float kLargestFp8 = 448.0f;
constexpr float kLeastScale = 0x1p-126f;  // whose reciprocal is finite

struct Eight {
  float2 pairs[kValues / 2];
};

__device__ __forceinline__ Eight load_eight(const __nv_bfloat16* from) {
  const uint4 words = *reinterpret_cast<const uint4*>(from);
  const uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
  Eight values;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values.pairs[i] =
        make_float2(__uint_as_float(pairs[i] << 16), __uint_as_float(pairs[i] & 0xffff0000));
  }
  return values;
}

/// The highest of all threads' values.
__device__ __forceinline__ float highest_of_block(float value) {
  __shared__ float of_warps[kWarps];
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, offset));
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = of_warps[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) value = fmaxf(value, of_warps[i]);
  return value;
}

__device__ __forceinline__ uint32_t codes_of(const float2& first, const float2& second) {
  const uint32_t low = __nv_cvt_float2_to_fp8x2(first, __NV_SATFINITE, __NV_E4M3);
  const uint32_t high = __nv_cvt_float2_to_fp8x2(second, __NV_SATFINITE, __NV_E4M3);
  return low | high << 16;
}

/// One block a row; the row is read twice, the second time from a cache.
__global__ void __launch_bounds__(kThreads) quantise_row(QuantiseRowsParams p) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * p.columns;
  float largest = 0.0f;
  for (int i = threadIdx.x * kValues; i < p.columns; i += kThreads * kValues) {
    const Eight values = load_eight(p.x + row + i);
#pragma unroll
    for (const float2& pair : values.pairs) {
      largest = fmaxf(largest, fmaxf(fabsf(pair.x), fabsf(pair.y)));
    }
  }
  largest = highest_of_block(largest);
  const float scale = largest > 0.0f ? fmaxf(largest / kLargestFp8, kLeastScale) : 1.0f;
  const float factor = 1.0f / scale;
  if (threadIdx.x == 0) p.scales[blockIdx.x] = scale;
  for (int i = threadIdx.x * kValues; i < p.columns; i += kThreads * kValues) {
    Eight values = load_eight(p.x + row + i);
#pragma unroll
    for (float2& pair : values.pairs) {
      pair.x *= factor;
      pair.y *= factor;
    }
    *reinterpret_cast<uint2*>(p.codes + row + i) = make_uint2(
        codes_of(values.pairs[0], values.pairs[1]), codes_of(values.pairs[2], values.pairs[3]));
  }
}

}  // namespace

cudaError_t quantise_rows(const QuantiseRowsParams& params, cudaStream_t stream) {
  if (params.columns % kValues != 0) return cudaErrorInvalidValue;
  if (params.rows == 0) return cudaSuccess;
  quantise_row<<<params.rows, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
