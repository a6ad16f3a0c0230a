#pragma once
// Tokens on their way from bf16 into a page of survivors: one warp a token, four channels a lane.
// Codes and scales are those of kernels/kv_page_scaled.cpp, bit for bit.

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {

inline constexpr int kLaneChannels = 4;

struct Int8Code {
  static constexpr float kLargest = 127.0f;
  static __device__ __forceinline__ uint32_t code(float x) {
    return static_cast<uint32_t>(__float2int_rn(x)) & 0xffu;
  }
};

/// E4M3 without its subnormals.
struct Fp8Code {
  static constexpr float kLargest = 448.0f;
  static constexpr float kLeast = 0x1p-6f;
  static constexpr uint32_t kDroppedBits = 20;  // of a float's mantissa
  static constexpr uint32_t kBias = 120;        // of exponents: a float's less ours

  static __device__ __forceinline__ uint32_t code(float x) {
    const uint32_t signed_bits = __float_as_uint(x);
    const uint32_t sign = signed_bits >> 24 & 0x80u;
    const uint32_t bits = signed_bits & 0x7fffffffu;
    const float size = __uint_as_float(bits);
    const uint32_t half = (1u << (kDroppedBits - 1)) - 1 + (bits >> kDroppedBits & 1u);
    const uint32_t normal = ((bits + half) >> kDroppedBits) - (kBias << 3);
    const uint32_t small = size > kLeast / 2 ? 8u : 0u;
    return sign | (size < kLeast ? small : normal);
  }
};

/// The bits of the smallest bf16 that brings a token within the numbers, from the bits of its
/// largest size: NaN where something is not finite, zero where all is too small for a number.
__device__ __forceinline__ uint32_t scale_bits(uint32_t largest, float largest_number) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  constexpr uint32_t kNan = 0x7fc0u;
  if (largest >= kInfinity) return kNan;
  const float exact = __fdiv_rn(__uint_as_float(largest), largest_number);
  return exact < 0x1p-126f ? 0u : (__float_as_uint(exact) + 0xffffu) >> 16;
}

/// One side of a page: where a token's channels and its scale go.
struct SidePlace {
  std::byte* token = nullptr;
  __nv_bfloat16* scale = nullptr;  // null for bf16
};

__device__ __forceinline__ SidePlace
side_place(std::byte* page, KvFormat format, int head_dim, int place, bool is_value) {
  const int side = side_bytes(format, head_dim);
  std::byte* token = page + (is_value ? side : 0) + place * head_dim * element_bytes(format);
  if (format == KvFormat::bf16) return {token, nullptr};
  auto* scales = reinterpret_cast<__nv_bfloat16*>(page + 2 * side);
  return {token, scales + (is_value ? kPageTokens : 0) + place};
}

/// `x`: the lane's four channels in bf16; zeros in lanes beyond the head.
template <class Code>
__device__ __forceinline__ void encode(const SidePlace& to, uint2 x, int lane, bool is_in_head) {
  const float values[kLaneChannels] = {__uint_as_float(x.x << 16),
                                       __uint_as_float(x.x & 0xffff0000u),
                                       __uint_as_float(x.y << 16),
                                       __uint_as_float(x.y & 0xffff0000u)};
  uint32_t largest = 0;
#pragma unroll
  for (const float value : values) largest = max(largest, __float_as_uint(fabsf(value)));
  largest = __reduce_max_sync(kAllLanes, largest);
  const uint32_t stored = scale_bits(largest, Code::kLargest);
  const float scale = __uint_as_float(stored << 16);
  if (lane == 0) *to.scale = __ushort_as_bfloat16(static_cast<unsigned short>(stored));
  uint32_t codes = 0;
#pragma unroll
  for (int e = 0; e < kLaneChannels; ++e) {
    const float number = scale > 0.0f ? __fdiv_rn(values[e], scale) : 0.0f;
    codes |= Code::code(fminf(fmaxf(number, -Code::kLargest), Code::kLargest)) << (8 * e);
  }
  if (is_in_head) *reinterpret_cast<uint32_t*>(to.token + lane * kLaneChannels) = codes;
}

/// Stores one side of a token; by a whole warp.
template <KvFormat kFormat>
__device__ __forceinline__ void store_side(const SidePlace& to,
                                           uint2 x,
                                           int lane,
                                           bool is_in_head) {
  if constexpr (kFormat == KvFormat::fp8) {
    encode<Fp8Code>(to, x, lane, is_in_head);
  } else if constexpr (kFormat == KvFormat::int8) {
    encode<Int8Code>(to, x, lane, is_in_head);
  } else if (is_in_head) {
    *reinterpret_cast<uint2*>(to.token + lane * kLaneChannels * 2) = x;
  }
}

/// Takes up to `wanted` pages, the `first` of them at FreePages::pages[first % capacity]; returns
/// how many. Heads that keep everything begin pages in the same step: one addition each, not a loop
/// of exchanges. What is wanted beyond the given is put back; a count above the given hands out
/// nothing, and what lies below it stands for pages that were taken.
__device__ __forceinline__ uint32_t take_pages(const FreePages& free,
                                               uint32_t wanted,
                                               uint32_t& first) {
  first = atomicAdd(free.taken, wanted);
  const auto left = static_cast<int32_t>(*free.given - first);
  const uint32_t got = left <= 0 ? 0u : min(wanted, static_cast<uint32_t>(left));
  if (got < wanted) {
    atomicSub(free.taken, wanted - got);
    *free.shortage = 1;
  }
  return got;
}

__device__ __forceinline__ uint32_t page_number(const FreePages& free, uint32_t index) {
  return free.pages[index % static_cast<uint32_t>(free.capacity)];
}

__device__ __forceinline__ std::byte* page_at(const CacheView& cache, uint32_t page) {
  return cache.arena + static_cast<int64_t>(page) * kPageUnit;
}

}  // namespace dms::cuda
