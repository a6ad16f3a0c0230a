#pragma once
// Codes of 8 bits as bf16, two at a time, without tables: both formats' numbers are exact in bf16.

#include <cstdint>

#include <cuda_bf16.h>

namespace dms::cuda {

__device__ __forceinline__ __nv_bfloat162 as_bf16_pair(uint32_t bits) {
  return *reinterpret_cast<const __nv_bfloat162*>(&bits);
}
__device__ __forceinline__ uint32_t as_bits(__nv_bfloat162 pair) {
  return *reinterpret_cast<const uint32_t*>(&pair);
}

/// Two E4M3 codes in the upper bytes of the halves of `codes`. Their seven bits below the sign,
/// read as the end of a bf16's exponent and the start of its mantissa, give the number times 2^-120
/// (7 less 127); E4M3's subnormal numbers are made of bf16's. There are no NaNs.
__device__ __forceinline__ uint32_t fp8_to_bf16(uint32_t codes) {
  const uint32_t small = (codes >> 4 & 0x07f007f0u) | (codes & 0x80008000u);
  constexpr uint32_t kTwoTo120 = 0x7b807b80u;
  return as_bits(__hmul2(as_bf16_pair(small), as_bf16_pair(kTwoTo120)));
}

/// Two int8 codes in the lower bytes of the halves of `codes`: n = (128 + lower seven bits) - 128,
/// or - 256 where the sign is set; bf16 counts by ones from 128 (0x4300) to 256 (0x4380).
__device__ __forceinline__ uint32_t int8_to_bf16(uint32_t codes) {
  const uint32_t lower = (codes & 0x007f007fu) | 0x43004300u;
  const uint32_t offset = (codes & 0x00800080u) | 0x43004300u;
  return as_bits(__hsub2(as_bf16_pair(lower), as_bf16_pair(offset)));
}

/// Four E4M3 codes in order.
__device__ __forceinline__ uint2 four_fp8_to_bf16(uint32_t codes) {
  return {fp8_to_bf16(__byte_perm(codes, 0, 0x1404)), fp8_to_bf16(__byte_perm(codes, 0, 0x3424))};
}

}  // namespace dms::cuda
