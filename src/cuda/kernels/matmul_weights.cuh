#pragma once
// Weights of each format as operands of mma.sync, straight from 16-byte loads.
//
// A product's columns may be taken in any order, as long as both operands keep to it. So a lane
// (g = lane / 4, t = lane % 4) loads neighbouring columns of its rows and gives them to the places
// that the instruction has for its lane; nothing is shuffled, and activations are loaded alike.

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/kernels/codes.cuh"
#include "cuda/kernels/matmul_launch.h"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {

inline constexpr int kGroupColumns = 32;  // of int4, that share a scale and a minimum

__host__ __device__ constexpr int weight_bits(MatrixFormat format) {
  return format == MatrixFormat::bf16 ? 16 : format == MatrixFormat::fp8 ? 8 : 4;
}

template <MatrixFormat kFormat>
__host__ __device__ constexpr int row_bytes(int columns) {
  return columns / 8 * weight_bits(kFormat);
}

__device__ __forceinline__ void unpack(const uint4& words, uint32_t (&out)[4]) {
  out[0] = words.x;
  out[1] = words.y;
  out[2] = words.z;
  out[3] = words.w;
}

__device__ __forceinline__ uint32_t fma_bf16(uint32_t a, uint32_t b, uint32_t c) {
  __nv_bfloat162 x;
  __nv_bfloat162 y;
  __nv_bfloat162 z;
  *reinterpret_cast<uint32_t*>(&x) = a;
  *reinterpret_cast<uint32_t*>(&y) = b;
  *reinterpret_cast<uint32_t*>(&z) = c;
  const __nv_bfloat162 sum = __hfma2(x, y, z);
  return *reinterpret_cast<const uint32_t*>(&sum);
}

/// Four E4M3 bytes as two pairs of bf16.
__device__ __forceinline__ void widen_fp8(uint32_t bytes, uint32_t& low, uint32_t& high) {
  const uint2 pairs = four_fp8_to_bf16(bytes);
  low = pairs.x;
  high = pairs.y;
}

/// The codes of columns i and i + 4 of eight as a pair of bf16, for i = 0 to 3: 128 + code is made
/// of bits, and 128 taken away.
__device__ __forceinline__ void widen_int4(uint32_t codes, uint32_t (&pairs)[4]) {
  constexpr uint32_t kOne = 0x3f803f80;
  constexpr uint32_t k128 = 0x43004300;
  constexpr uint32_t kMinus128 = 0xc300c300;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    pairs[i] = fma_bf16(((codes >> (4 * i)) & 0x000f000f) | k128, kOne, kMinus128);
  }
}

/// Eight activations in the order of widen_int4()'s.
__device__ __forceinline__ void order_as_int4(const uint4& x, uint32_t (&pairs)[4]) {
  pairs[0] = __byte_perm(x.x, x.z, 0x5410);
  pairs[1] = __byte_perm(x.x, x.z, 0x7632);
  pairs[2] = __byte_perm(x.y, x.w, 0x5410);
  pairs[3] = __byte_perm(x.y, x.w, 0x7632);
}

/// A group's scale and minimum as a pair of halves; `group`: its number in the matrix.
__device__ __forceinline__ uint32_t load_scale(const MatrixView& w, int64_t group) {
  const auto* scales = reinterpret_cast<const uint16_t*>(w.group_scales);
  const auto* minima = reinterpret_cast<const uint16_t*>(w.group_minima);
  return __ldg(scales + group) | static_cast<uint32_t>(__ldg(minima + group)) << 16;
}

__device__ __forceinline__ float2 widen_scale(uint32_t pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}

__device__ __forceinline__ void store_product(const MatmulParams& p,
                                              int row,
                                              int output,
                                              float value) {
  const int64_t at = static_cast<int64_t>(row) * p.weights.rows + output;
  if (p.out_bf16 != nullptr) {
    p.out_bf16[at] = __float2bfloat16_rn(value);
  } else {
    p.out[at] = p.accumulate ? p.out[at] + value : value;
  }
}

}  // namespace dms::cuda
