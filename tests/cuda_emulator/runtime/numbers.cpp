#include "cuda_emulator/runtime/numbers.h"

#include <cfenv>

namespace cuda_emulator {
namespace {

/// Rounds the magnitude to nearest even into a format with subnormals; returns the code, which may
/// lie beyond the format's largest. Infinity and NaN give ~0.
u32 round_to_small(float value, int mantissa_bits, int bias) {
  const u32 bits = b32(std::fabs(value));
  if (bits >= 0x7f800000u) return ~0u;
  if (bits == 0) return 0;
  const bool is_normal = bits >> 23 != 0;
  const int exponent = is_normal ? static_cast<int>(bits >> 23) - 127 : -126;
  const u32 mantissa = (bits & 0x7fffff) | (is_normal ? 0x800000 : 0);
  int code_exponent = exponent + bias;
  int shift = 23 - mantissa_bits;
  if (code_exponent < 1) {
    shift += 1 - code_exponent;
    code_exponent = 0;
  }
  if (shift > 25) return 0;
  u32 code = mantissa >> shift;
  const u32 rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  if (rest > half || (rest == half && (code & 1))) code++;
  return code_exponent ? (static_cast<u32>(code_exponent - 1) << mantissa_bits) + code : code;
}

/// To float by rounding to odd: rounding the result once more, to fewer bits, is exact.
float to_odd_float(double value) {
  const float nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || value != value) return nearest;
  u32 bits = b32(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) bits--;
  return f32(bits | 1);
}

/// The host's rounding mode while it lives.
class DirectedRounding {
 public:
  explicit DirectedRounding(char mode) : saved_(std::fegetround()) {
    std::fesetround(mode == 'z' ? FE_TOWARDZERO : mode == 'm' ? FE_DOWNWARD : FE_UPWARD);
  }
  ~DirectedRounding() { std::fesetround(saved_); }
  DirectedRounding(const DirectedRounding&) = delete;
  DirectedRounding& operator=(const DirectedRounding&) = delete;

 private:
  int saved_;
};

/// Keeps the compiler from computing at compile time or across a change of mode.
template <class T>
T opaque(T value) {
  volatile T copy = value;
  return copy;
}

template <class T, class F>
T rounded(char mode, F compute) {
  const DirectedRounding rounding(mode);
  return opaque(compute());
}

u32 select_bytes(u64 bytes, const u32 (&places)[4]) {
  u32 result = 0;
  for (int i = 0; i < 4; i++) result |= static_cast<u32>(bytes >> (8 * places[i]) & 255) << (8 * i);
  return result;
}

u64 pair(u32 a, u32 b) { return static_cast<u64>(b) << 32 | a; }

}  // namespace

float f16_to_float(u16 bits) {
  const u32 sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return f32(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return f32(sign | (exponent + 112) << 23 | mantissa << 13);
}

u16 float_to_f16(float value) {
  if (value != value) return 0x7fff;
  const u32 code = round_to_small(value, 10, 15);
  return static_cast<u16>((b32(value) >> 16 & 0x8000) | (code > 0x7c00 ? 0x7c00 : code));
}

u16 float_to_bf16(float value) {
  if (value != value) return 0x7fff;
  const u32 bits = b32(value);
  return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

u8 float_to_e4m3(float value) {
  if (value != value) return 0x7f;
  const u32 code = round_to_small(value, 3, 7);
  return static_cast<u8>((b32(value) >> 24 & 0x80) | (code > 0x7e ? 0x7e : code));
}

u8 float_to_e5m2(float value) {
  if (value != value) return 0x7f;
  const u32 code = round_to_small(value, 2, 15);
  return static_cast<u8>((b32(value) >> 24 & 0x80) | (code > 0x7b ? 0x7b : code));
}

float e4m3_to_float(u8 bits) {
  const int exponent = bits >> 3 & 15;
  const float mantissa = static_cast<float>(bits & 7) / 8.0f;
  float value = exponent ? std::ldexp(1 + mantissa, exponent - 7) : std::ldexp(mantissa, -6);
  if ((bits & 127) == 127) value = std::numeric_limits<float>::quiet_NaN();
  return bits & 128 ? -value : value;
}

float e5m2_to_float(u8 bits) { return f16_to_float(static_cast<u16>(bits << 8)); }

u16 float_to_f16_rz(float value) {
  const u16 nearest = float_to_f16(value);
  return std::fabs(f16_to_float(nearest)) > std::fabs(value) ? static_cast<u16>(nearest - 1)
                                                             : nearest;
}

u16 float_to_bf16_rz(float value) {
  return value != value ? 0x7fff : static_cast<u16>(b32(value) >> 16);
}

u16 double_to_f16(double value) { return float_to_f16(to_odd_float(value)); }
u16 double_to_bf16(double value) { return float_to_bf16(to_odd_float(value)); }

float rounded_add(char mode, float a, float b) {
  return rounded<float>(mode, [&] { return opaque(a) + opaque(b); });
}
float rounded_sub(char mode, float a, float b) {
  return rounded<float>(mode, [&] { return opaque(a) - opaque(b); });
}
float rounded_mul(char mode, float a, float b) {
  return rounded<float>(mode, [&] { return opaque(a) * opaque(b); });
}
float rounded_div(char mode, float a, float b) {
  return rounded<float>(mode, [&] { return opaque(a) / opaque(b); });
}
float rounded_fma(char mode, float a, float b, float c) {
  return rounded<float>(mode, [&] { return std::fma(opaque(a), opaque(b), opaque(c)); });
}
float rounded_sqrt(char mode, float a) {
  return rounded<float>(mode, [&] { return std::sqrt(opaque(a)); });
}
float rounded_rcp(char mode, float a) { return rounded_div(mode, 1.0f, a); }
double rounded_add(char mode, double a, double b) {
  return rounded<double>(mode, [&] { return opaque(a) + opaque(b); });
}
double rounded_sub(char mode, double a, double b) {
  return rounded<double>(mode, [&] { return opaque(a) - opaque(b); });
}
double rounded_mul(char mode, double a, double b) {
  return rounded<double>(mode, [&] { return opaque(a) * opaque(b); });
}
double rounded_div(char mode, double a, double b) {
  return rounded<double>(mode, [&] { return opaque(a) / opaque(b); });
}
double rounded_fma(char mode, double a, double b, double c) {
  return rounded<double>(mode, [&] { return std::fma(opaque(a), opaque(b), opaque(c)); });
}
double rounded_sqrt(char mode, double a) {
  return rounded<double>(mode, [&] { return std::sqrt(opaque(a)); });
}
double rounded_rcp(char mode, double a) { return rounded_div(mode, 1.0, a); }

template <class To, class From>
To rounded_convert(char mode, From value) {
  return rounded<To>(mode, [&] { return static_cast<To>(opaque(value)); });
}
template float rounded_convert<float>(char, float);
template float rounded_convert<float>(char, double);
template float rounded_convert<float>(char, i32);
template float rounded_convert<float>(char, u32);
template float rounded_convert<float>(char, i64);
template float rounded_convert<float>(char, u64);
template double rounded_convert<double>(char, float);
template double rounded_convert<double>(char, i64);
template double rounded_convert<double>(char, u64);

u32 lop3(u32 a, u32 b, u32 c, u32 table) {
  u32 result = 0;
  for (u32 i = 0; i < 8; i++) {
    if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
  return result;
}

u32 permute_bytes(u32 a, u32 b, u32 selector) {
  const u64 bytes = pair(a, b);
  u32 result = 0;
  for (int i = 0; i < 4; i++) {
    const u32 select = selector >> (4 * i) & 15;
    u32 byte = static_cast<u32>(bytes >> (8 * (select & 7)) & 255);
    if (select & 8) byte = byte & 128 ? 255 : 0;  // its sign
    result |= byte << (8 * i);
  }
  return result;
}

u32 permute_bytes_f4e(u32 a, u32 b, u32 selector) {
  const u32 s = selector & 3;
  return select_bytes(pair(a, b), {s, s + 1, s + 2, s + 3});
}
u32 permute_bytes_b4e(u32 a, u32 b, u32 selector) {
  const u32 s = selector & 3;
  return select_bytes(pair(a, b), {s, (s + 7) & 7, (s + 6) & 7, (s + 5) & 7});
}
u32 permute_bytes_rc8(u32 a, u32 b, u32 selector) {
  const u32 s = selector & 3;
  return select_bytes(pair(a, b), {s, s, s, s});
}
u32 permute_bytes_ecl(u32 a, u32 b, u32 selector) {
  const u32 s = selector & 3;
  return select_bytes(pair(a, b), {s, s < 1 ? 1 : s, s < 2 ? 2 : s, 3});
}
u32 permute_bytes_ecr(u32 a, u32 b, u32 selector) {
  const u32 s = selector & 3;
  return select_bytes(pair(a, b), {0, s < 1 ? s : 1, s < 2 ? s : 2, s});
}
u32 permute_bytes_rc16(u32 a, u32 b, u32 selector) {
  const u32 s = (selector & 1) * 2;
  return select_bytes(pair(a, b), {s, s + 1, s, s + 1});
}

}  // namespace cuda_emulator
