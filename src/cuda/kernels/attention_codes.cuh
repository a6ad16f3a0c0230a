#pragma once
// Codes of survivors as bf16 numbers, four at a time; their scales wait for whole scores and
// weights (kernels/kv_page_scaled.cpp).

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/codes.cuh"

namespace dms::cuda {

/// Four codes as four bf16 numbers in order.
__device__ __forceinline__ uint2 decode_codes(KvFormat format, uint32_t codes) {
  if (format == KvFormat::fp8) return four_fp8_to_bf16(codes);
  return {int8_to_bf16(__byte_perm(codes, 0, 0x4140)), int8_to_bf16(__byte_perm(codes, 0, 0x4342))};
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
