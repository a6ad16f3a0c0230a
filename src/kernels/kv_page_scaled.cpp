// Sides of pages whose codes are numbers times a scale: int8 and fp8. The scale brings the token's
// largest channel to the largest number; a token, head and side is what the kernel can apply to
// whole scores and weights (KIVI and others use finer groups). int8 rounds to the nearest integer:
// off by half a scale at most. fp8 is E4M3 (OCP) without its subnormals, which is 2^-15 of the
// largest channel: off by a sixteenth of each channel at most, or by 2^-16 of the largest one.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/kv_codes.h"
#include "kernels/kv_scale.h"

namespace dms::kernels {
namespace {

struct Int8 {
  static constexpr CodeKind kKind = CodeKind::int8;
  static constexpr float kLargest = 127.0f;
  static unsigned code(float x) {
    return std::bit_cast<uint8_t>(static_cast<int8_t>(std::lrint(x)));
  }
  static float number(unsigned code) { return std::bit_cast<int8_t>(static_cast<uint8_t>(code)); }
};

struct Fp8 {
  static constexpr CodeKind kKind = CodeKind::fp8;
  static constexpr float kLargest = 448.0f;
  static constexpr float kLeast = 0x1p-6f;
  static constexpr uint32_t kDroppedBits = 20;  // of a float's mantissa
  static constexpr uint32_t kBias = 120;        // of exponents: a float's less ours

  static unsigned code(float x) {
    const unsigned sign = std::signbit(x) ? 0x80u : 0u;
    const float size = std::abs(x);
    if (size < kLeast) return size > kLeast / 2 ? sign | 8u : sign;
    const uint32_t bits = std::bit_cast<uint32_t>(size);
    const uint32_t half = (1u << (kDroppedBits - 1)) - 1 + (bits >> kDroppedBits & 1u);
    return sign | (((bits + half) >> kDroppedBits) - (kBias << 3));
  }
  static float number(unsigned code) {
    const uint32_t size = code & 0x7fu;
    const uint32_t bits = size == 0 ? 0 : (size + (kBias << 3)) << kDroppedBits;
    return std::bit_cast<float>(bits | (code & 0x80u) << 24);
  }
};

/// The smallest bf16 that brings all of `x` within the numbers; NaN where something is not finite,
/// zero where all is too small for a number.
BFloat16 scale_of(const float* x, int64_t count, float largest_number) {
  if (!all_finite(x, count)) return nan_scale();
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  const float exact = largest / largest_number;
  if (exact < std::numeric_limits<float>::min()) return {};
  return {static_cast<uint16_t>((std::bit_cast<uint32_t>(exact) + 0xffffu) >> 16)};
}

template <class Type>
void encode(const SideSlot& to, const float* x) {
  const BFloat16 stored = scale_of(x, to.head_dim, Type::kLargest);
  const float scale = to_float(stored);
  write_scale(to, stored);
  for (int64_t c = 0; c < to.head_dim; ++c) {
    const float number = scale > 0.0f ? x[c] / scale : 0.0f;
    const CodePlace place = code_place(Type::kKind, to, c);
    write_code<Type::kKind>(to.data,
                            place.vector,
                            place.lane,
                            Type::code(std::clamp(number, -Type::kLargest, Type::kLargest)));
  }
}

template <class Type>
void decode(const SideSlot& from, float* x) {
  const float scale = read_scale(from);
  for (int64_t c = 0; c < from.head_dim; ++c) {
    const CodePlace place = code_place(Type::kKind, from, c);
    x[c] = scale * Type::number(read_code<Type::kKind>(from.data, place.vector, place.lane));
  }
}

}  // namespace

const KvFormatRow kFormatInt8{.format = KvFormat::int8,
                              .name = "int8",
                              .bits = 8,
                              .channel_multiple = 16,
                              .codes = CodeKind::int8,
                              .encode = encode<Int8>,
                              .decode = decode<Int8>,
                              .copy = copy_codes<CodeKind::int8>};

const KvFormatRow kFormatFp8{.format = KvFormat::fp8,
                             .name = "fp8",
                             .bits = 8,
                             .channel_multiple = 16,
                             .codes = CodeKind::fp8,
                             .encode = encode<Fp8>,
                             .decode = decode<Fp8>,
                             .copy = copy_codes<CodeKind::fp8>};

}  // namespace dms::kernels
