#include "base/dtype.h"

#include <array>
#include <cmath>

namespace dms {
namespace {

struct Spelling {
  std::string_view text;
  DType type;
};

constexpr std::array kSpellings{
    Spelling{"f32", DType::f32},
    Spelling{"float32", DType::f32},
    Spelling{"F32", DType::f32},
    Spelling{"bf16", DType::bf16},
    Spelling{"bfloat16", DType::bf16},
    Spelling{"BF16", DType::bf16},
    Spelling{"f16", DType::f16},
    Spelling{"float16", DType::f16},
    Spelling{"F16", DType::f16},
    Spelling{"half", DType::f16},
};

}  // namespace

int64_t dtype_bytes(DType type) { return type == DType::f32 ? 4 : 2; }

std::string_view dtype_name(DType type) {
  for (const Spelling& s : kSpellings) {
    if (s.type == type) return s.text;
  }
  return "?";
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Spelling& s : kSpellings) {
    if (s.text == name) return s.type;
  }
  return std::nullopt;
}

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace dms
