#pragma once
// Codes of survivors as bf16 numbers, four at a time, without tables: both formats' numbers are
// exact in bf16, and their scales wait for whole scores and weights (kernels/kv_page_scaled.cpp).

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

__device__ __forceinline__ uint32_t multiply_pair(uint32_t x, uint32_t by) {
  const __nv_bfloat162 product = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&x),
                                         *reinterpret_cast<const __nv_bfloat162*>(&by));
  return *reinterpret_cast<const uint32_t*>(&product);
}

/// Two codes in the upper bytes of both halves. Exponent and mantissa move to where bf16 has its
/// own, which gives the number times 2^-120 (bias 7 against 127).
__device__ __forceinline__ uint32_t fp8_pair(uint32_t codes) {
  const uint32_t small = (codes & 0x80008000u) | (codes & 0x7f007f00u) >> 4;
  return multiply_pair(small, 0x7b807b80u);  // 2^120
}

/// Two codes in the lower bytes of both halves. bf16 counts by ones from 128 to 256: the low seven
/// bits stand above 128, and what is taken off again is 256 where the sign says so.
__device__ __forceinline__ uint32_t int8_pair(uint32_t codes) {
  const uint32_t above = (codes & 0x007f007fu) | 0x43004300u;
  const uint32_t off = (codes & 0x00800080u) | 0x43004300u;
  const __nv_bfloat162 number = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&above),
                                        *reinterpret_cast<const __nv_bfloat162*>(&off));
  return *reinterpret_cast<const uint32_t*>(&number);
}

/// Four codes as four bf16 numbers in order.
__device__ __forceinline__ uint2 decode_codes(KvFormat format, uint32_t codes) {
  if (format == KvFormat::fp8) {
    return {fp8_pair(__byte_perm(codes, 0, 0x1404)), fp8_pair(__byte_perm(codes, 0, 0x3424))};
  }
  return {int8_pair(__byte_perm(codes, 0, 0x4140)), int8_pair(__byte_perm(codes, 0, 0x4342))};
}

/// Sixteen channels of a token in bf16.
struct Channels {
  uint4 low;
  uint4 high;
};

__device__ __forceinline__ Channels decode_codes(KvFormat format, uint4 codes) {
  const uint2 a = decode_codes(format, codes.x);
  const uint2 b = decode_codes(format, codes.y);
  const uint2 c = decode_codes(format, codes.z);
  const uint2 d = decode_codes(format, codes.w);
  return {{a.x, a.y, b.x, b.y}, {c.x, c.y, d.x, d.y}};
}

/// Stores the two halves, chunks `chunk` and `chunk + 1` of a row, at place(chunk). Rows of sixteen
/// chunks or more: threads of the second eight begin with their odd chunk, so that eight threads
/// write to eight different groups of banks.
template <class Place>
__device__ __forceinline__ void store_channels(const Channels& channels,
                                               int chunk,
                                               const Place& place) {
  const bool is_swapped = (chunk & 8) != 0;
  *reinterpret_cast<uint4*>(place(chunk + is_swapped)) = is_swapped ? channels.high : channels.low;
  *reinterpret_cast<uint4*>(place(chunk + !is_swapped)) = is_swapped ? channels.low : channels.high;
}

}  // namespace dms::cuda
