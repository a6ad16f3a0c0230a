#pragma once
// Scalar operations of PTX that C++ does not have in this form: conversions to small floats, bit
// fields, directed rounding, division that cannot trap.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cuda_emulator {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;

inline float f32(u32 bits) { return std::bit_cast<float>(bits); }
inline u32 b32(float value) { return std::bit_cast<u32>(value); }
inline double f64(u64 bits) { return std::bit_cast<double>(bits); }
inline u64 b64(double value) { return std::bit_cast<u64>(value); }

// To nearest even; FP8 saturates (satfinite), f16 and bf16 overflow to infinity.
float f16_to_float(u16 bits);
float e4m3_to_float(u8 bits);
float e5m2_to_float(u8 bits);
inline float bf16_to_float(u16 bits) { return f32(static_cast<u32>(bits) << 16); }
u16 float_to_f16(float value);
u16 float_to_bf16(float value);
u8 float_to_e4m3(float value);
u8 float_to_e5m2(float value);
// Towards zero.
u16 float_to_f16_rz(float value);
u16 float_to_bf16_rz(float value);
// Rounded once.
u16 double_to_f16(double value);
u16 double_to_bf16(double value);

// With directed rounding: mode is z (to zero), m (down) or p (up).
float rounded_add(char mode, float a, float b);
float rounded_sub(char mode, float a, float b);
float rounded_mul(char mode, float a, float b);
float rounded_div(char mode, float a, float b);
float rounded_fma(char mode, float a, float b, float c);
float rounded_sqrt(char mode, float a);
float rounded_rcp(char mode, float a);
double rounded_add(char mode, double a, double b);
double rounded_sub(char mode, double a, double b);
double rounded_mul(char mode, double a, double b);
double rounded_div(char mode, double a, double b);
double rounded_fma(char mode, double a, double b, double c);
double rounded_sqrt(char mode, double a);
double rounded_rcp(char mode, double a);
template <class To, class From>
To rounded_convert(char mode, From value);

u32 lop3(u32 a, u32 b, u32 c, u32 table);
u32 permute_bytes(u32 a, u32 b, u32 selector);
u32 permute_bytes_f4e(u32 a, u32 b, u32 selector);
u32 permute_bytes_b4e(u32 a, u32 b, u32 selector);
u32 permute_bytes_rc8(u32 a, u32 b, u32 selector);
u32 permute_bytes_ecl(u32 a, u32 b, u32 selector);
u32 permute_bytes_ecr(u32 a, u32 b, u32 selector);
u32 permute_bytes_rc16(u32 a, u32 b, u32 selector);

template <class T>
T reverse_bits(T value) {
  T result = 0;
  for (unsigned i = 0; i < sizeof(T) * 8; i++)
    result = static_cast<T>(result << 1 | (value >> i & 1));
  return result;
}

template <class T>
T shift_left(T value, u32 count) {
  return count >= sizeof(T) * 8 ? T{0} : static_cast<T>(value << count);
}

template <class T>
T shift_right(T value, u32 count) {
  if (count >= sizeof(T) * 8) return std::is_signed_v<T> && value < 0 ? static_cast<T>(-1) : T{0};
  return static_cast<T>(value >> count);
}

/// bfe: bits beyond the field or the register repeat the sign, or are 0.
template <class T>
T extract_bits(T value, u32 position, u32 length) {
  constexpr u32 kTop = sizeof(T) * 8 - 1;
  position &= 255;
  length &= 255;
  if (length == 0) return 0;
  const u32 last = position + length - 1 < kTop ? position + length - 1 : kTop;
  const bool fill = std::is_signed_v<T> && (value >> last & 1);
  std::make_unsigned_t<T> result = 0;
  for (u32 i = 0; i <= kTop; i++) {
    const bool is_inside = i < length && position + i <= kTop;
    const bool bit = is_inside ? (value >> (position + i) & 1) != 0 : fill;
    result |= static_cast<std::make_unsigned_t<T>>(bit) << i;
  }
  return static_cast<T>(result);
}

/// bfi: the low `length` bits of `field` into `base` at `position`.
template <class T>
T insert_bits(T field, T base, u32 position, u32 length) {
  constexpr u32 kBits = sizeof(T) * 8;
  position &= 255;
  length &= 255;
  if (length == 0 || position >= kBits) return base;
  const T mask = length >= kBits ? ~T{0} : (T{1} << length) - 1;
  return (base & ~(mask << position)) | ((field & mask) << position);
}

/// Sums with a carry of 0 or 1, which is replaced where `Keeps`.
template <class T, bool Keeps>
T add_carry(T a, T b, T carry_in, u32& carry) {
  const T partial = a + b;
  const T sum = partial + carry_in;
  if constexpr (Keeps) carry = partial < a || sum < partial;
  return sum;
}

template <class T, bool Keeps>
T subtract_borrow(T a, T b, T borrow_in, u32& borrow) {
  const T partial = a - b;
  if constexpr (Keeps) borrow = a < b || partial < borrow_in;
  return partial - borrow_in;
}

// A device does not trap where these would on the host.
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if (std::is_signed_v<T> && b == static_cast<T>(-1))
    return static_cast<T>(u64{0} - static_cast<u64>(a));
  return static_cast<T>(a / b);
}
template <class T>
T modulus(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  return static_cast<T>(a % b);
}

template <bool SignedA, bool SignedB>
u32 dot4(u32 a, u32 b, u32 sum) {
  for (int i = 0; i < 32; i += 8) {
    const i32 x = SignedA ? static_cast<i8>(a >> i) : static_cast<u8>(a >> i);
    const i32 y = SignedB ? static_cast<i8>(b >> i) : static_cast<u8>(b >> i);
    sum += static_cast<u32>(x * y);
  }
  return sum;
}

template <bool SignedA, bool SignedB, bool Upper>
u32 dot2(u32 a, u32 b, u32 sum) {
  for (int i = 0; i < 2; i++) {
    const int shift = (Upper ? 16 : 0) + 8 * i;
    const i32 x = SignedA ? static_cast<i16>(a >> (16 * i)) : static_cast<u16>(a >> (16 * i));
    const i32 y = SignedB ? static_cast<i8>(b >> shift) : static_cast<u8>(b >> shift);
    sum += static_cast<u32>(x * y);
  }
  return sum;
}

// min and max give the operand that is no NaN, and take -0 for less than +0; with nan_, NaN wins.
template <class T>
T minimum(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T maximum(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}
template <class T>
T nan_minimum(T a, T b) {
  return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : minimum(a, b);
}
template <class T>
T nan_maximum(T a, T b) {
  return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : maximum(a, b);
}

inline float flush_subnormal(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
inline float saturate(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }

/// cvt to an integer: saturates, NaN becomes 0. mode is n, z, m or p.
template <class T>
T to_integer(double x, char mode) {
  if (x != x) return 0;
  switch (mode) {
    case 'n':
      x = std::nearbyint(x);
      break;
    case 'm':
      x = std::floor(x);
      break;
    case 'p':
      x = std::ceil(x);
      break;
    default:
      x = std::trunc(x);
  }
  using Limits = std::numeric_limits<T>;
  if (x <= static_cast<double>(Limits::min())) return Limits::min();
  if (x >= static_cast<double>(Limits::max())) return Limits::max();
  return static_cast<T>(x);
}

/// cvt.sat between integers.
template <class To, class From>
To clamp_to(From x) {
  using Limits = std::numeric_limits<To>;
  if (std::is_signed_v<From> && x < From{0}) {
    const bool is_below =
        !std::is_signed_v<To> || static_cast<i64>(x) < static_cast<i64>(Limits::min());
    return is_below ? Limits::min() : static_cast<To>(x);
  }
  return static_cast<u64>(x) > static_cast<u64>(Limits::max()) ? Limits::max() : static_cast<To>(x);
}

}  // namespace cuda_emulator
