#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "cuda/kernels/random_fill.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 4096;
constexpr float kLargestFp8 = 448.0f;

/// SplitMix64's output function (base/random.h) of a counter.
__device__ __forceinline__ uint64_t random_bits(uint64_t seed, uint64_t counter) {
  uint64_t x = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// 16 bits to [-1, 1), evenly around zero.
__device__ __forceinline__ float uniform(uint64_t bits) {
  return (static_cast<float>(bits & 0xffff) - 32767.5f) / 32768.0f;
}

/// Four bytes of the matrix.
__device__ __forceinline__ uint32_t random_word(const RandomMatrixParams& p, uint64_t counter) {
  const uint64_t bits = random_bits(p.seed, counter);
  if (p.format == MatrixFormat::int4) return static_cast<uint32_t>(bits);
  if (p.format == MatrixFormat::bf16) {
    const __nv_bfloat162 pair =
        __floats2bfloat162_rn(p.limit * uniform(bits), p.limit * uniform(bits >> 16));
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t code =
        __nv_cvt_float_to_fp8(kLargestFp8 * uniform(bits >> (16 * i)), __NV_SATFINITE, __NV_E4M3);
    word |= code << (8 * i);
  }
  return word;
}

__global__ void __launch_bounds__(kThreads) random_words(RandomMatrixParams p, int64_t words) {
  auto* out = static_cast<uint32_t*>(p.data);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < words; i += stride) {
    out[i] = random_word(p, static_cast<uint64_t>(i));
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) constants(T* out, int64_t count, float value) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += stride) {
    out[i] = static_cast<T>(value);
  }
}

unsigned blocks_for(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

template <typename T>
cudaError_t fill(T* out, int64_t count, float value, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  constants<<<blocks_for(count), kThreads, 0, stream>>>(out, count, value);
  return cudaGetLastError();
}

}  // namespace

cudaError_t fill_constant(float* out, int64_t count, float value, cudaStream_t stream) {
  return fill(out, count, value, stream);
}

cudaError_t fill_random(const RandomMatrixParams& params, cudaStream_t stream) {
  const int64_t elements = int64_t{params.rows} * params.columns;
  const int bits = params.format == MatrixFormat::bf16  ? 16
                   : params.format == MatrixFormat::fp8 ? 8
                                                        : 4;
  const int64_t words = elements * bits / 32;
  random_words<<<blocks_for(words), kThreads, 0, stream>>>(params, words);
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) return status;
  if (params.format == MatrixFormat::fp8) {
    return fill(params.scales, params.rows, params.limit / kLargestFp8, stream);
  }
  if (params.format == MatrixFormat::bf16) return cudaSuccess;
  // Sixteen steps of [-limit, limit], in the middle of each: the spread is that of the others.
  const float step = params.limit / 8.0f;
  const cudaError_t status = fill(params.group_scales, elements / 32, step, stream);
  return status == cudaSuccess ? fill(params.group_minima, elements / 32, -7.5f * step, stream)
                               : status;
}

}  // namespace dms::cuda
