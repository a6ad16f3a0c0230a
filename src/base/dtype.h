#pragma once
// Storage types and their conversions. bf16 rounds to nearest even.

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dms {

enum class DType { f32, bf16, f16 };

/// Bytes of one element.
int64_t dtype_bytes(DType type);
std::string_view dtype_name(DType type);
/// Parses "f32", "bf16", "f16" and torch's and safetensors' spellings ("float32",
/// "torch.float32", "F32", …).
std::optional<DType> parse_dtype(std::string_view name);

/// A bfloat16 as its 16 bits.
struct BFloat16 {
  uint16_t bits = 0;
};

inline float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

inline BFloat16 to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {  // NaN stays NaN: rounding could carry it to infinity
    return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

/// IEEE half (its 16 bits) to float, exactly. No branches, so that loops over it become vector
/// code: a half's magnitude read as a float is 2^112 too small, also when it is subnormal, and
/// infinities and NaNs begin at `special`.
inline float half_to_float(uint16_t bits) {
  constexpr uint32_t special = 0x7c00u << 13;
  const uint32_t shifted = (bits & 0x7fffu) << 13;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * 0x1p112f);
  const uint32_t magnitude = shifted >= special ? shifted | 0x7f800000u : finite;
  return std::bit_cast<float>(magnitude | static_cast<uint32_t>(bits & 0x8000u) << 16);
}

/// float to IEEE half (its 16 bits), rounded to nearest even.
inline uint16_t to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x47800000u) {  // 2^16 and above, infinity, NaN
    return static_cast<uint16_t>(sign | (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u));
  }
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds to multiples of 2^-24
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace dms
