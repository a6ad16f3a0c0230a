#pragma once
// Codes of survivors as bf16 in the order in which decode_warp.cuh wants them: four codes of a
// register become the pair of the even bytes and the pair of the odd ones. Scales are not applied
// here.

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/codes.cuh"

namespace dms::cuda {

template <KvFormat kFormat>
__device__ __forceinline__ void codes_to_bf16(uint32_t codes, uint32_t& even, uint32_t& odd) {
  if constexpr (kFormat == KvFormat::fp8) {
    even = fp8_to_bf16(codes << 8);
    odd = fp8_to_bf16(codes);
  } else {
    even = int8_to_bf16(codes);
    odd = int8_to_bf16(codes >> 8);
  }
}

}  // namespace dms::cuda
