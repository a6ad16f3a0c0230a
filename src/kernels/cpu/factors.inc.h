// Products with factors, included by the AVX2 and AVX-512 files into their anonymous namespaces
// after kLanes.

#include "kernels/cpu/vector_math.inc.h"

using Words = uint16_t __attribute__((vector_size(kLanes * 2)));

struct Floats {
  using Number = float;
  static Vector widen(const float* x) { return load(x); }
};

struct Bf16 {
  using Number = uint16_t;
  static Vector widen(const uint16_t* x) {
    Words words;
    __builtin_memcpy(&words, x, sizeof words);
    return reinterpret_cast<Vector>(__builtin_convertvector(words, Bits) << 16);
  }
};

/// kLanes numbers of which the first `count` matter; of those beyond `end` none is read.
template <class Format>
inline Vector widen_first(const typename Format::Number* x,
                          int64_t count,
                          const typename Format::Number* end) {
  if (end - x >= kLanes) return Format::widen(x);
  alignas(64) typename Format::Number lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = x[i];
  return Format::widen(lanes);
}

/// `vectors` neighbouring vectors of columns from `column` on, of all rows.
template <class Format, unsigned kRows, unsigned kVectors>
inline void multiply_columns(const FactorCall& call, int64_t column) {
  const auto* factor = static_cast<const typename Format::Number*>(call.factor) + column;
  Vector sums[kRows][kVectors];
  for (unsigned i = 0; i < kRows; ++i) {
    for (unsigned v = 0; v < kVectors; ++v) sums[i][v] = load(call.out[i] + column + v * kLanes);
  }
  for (int64_t r = 0; r < call.count; ++r, factor += call.columns) {
    for (unsigned v = 0; v < kVectors; ++v) {
      const Vector numbers = Format::widen(factor + v * kLanes);
      for (unsigned i = 0; i < kRows; ++i) sums[i][v] += call.x[i][r] * numbers;
    }
  }
  for (unsigned i = 0; i < kRows; ++i) {
    for (unsigned v = 0; v < kVectors; ++v) store(call.out[i] + column + v * kLanes, sums[i][v]);
  }
}

/// The columns from `column` on, less than a vector of them.
template <class Format, unsigned kRows>
inline void multiply_last(const FactorCall& call, int64_t column) {
  const auto* factor = static_cast<const typename Format::Number*>(call.factor);
  const auto* end = factor + call.count * call.columns;
  const int64_t left = call.columns - column;
  Vector sums[kRows];
  for (unsigned i = 0; i < kRows; ++i) sums[i] = load_first(call.out[i] + column, left);
  factor += column;
  for (int64_t r = 0; r < call.count; ++r, factor += call.columns) {
    const Vector numbers = widen_first<Format>(factor, left, end);
    for (unsigned i = 0; i < kRows; ++i) sums[i] += call.x[i][r] * numbers;
  }
  for (unsigned i = 0; i < kRows; ++i) store_first(call.out[i] + column, sums[i], left);
}

template <class Format, unsigned kRows>
void multiply_rows(const FactorCall& call) {
  // 8 sums and a vector of numbers leave room in AVX2's 16 registers.
  constexpr unsigned kVectors = kLanes == 16 || kRows == 1 ? 4 : 2;
  constexpr int64_t kStep = int64_t{kVectors} * kLanes;
  int64_t column = 0;
  for (; column + kStep <= call.columns; column += kStep) {
    multiply_columns<Format, kRows, kVectors>(call, column);
  }
  for (; column + kLanes <= call.columns; column += kLanes) {
    multiply_columns<Format, kRows, 1>(call, column);
  }
  if (column < call.columns) multiply_last<Format, kRows>(call, column);
}

template <class Format>
void multiply(const FactorCall& call) {
  static_assert(kFactorRows == 4);
  switch (call.rows) {
    case 1:
      return multiply_rows<Format, 1>(call);
    case 2:
      return multiply_rows<Format, 2>(call);
    case 3:
      return multiply_rows<Format, 3>(call);
    default:
      return multiply_rows<Format, 4>(call);
  }
}

using Unsigned = uint32_t __attribute__((vector_size(kLanes * 4)));

inline Words narrowed(Vector x) {
  const Unsigned bits = reinterpret_cast<Unsigned>(x);
  const Unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Unsigned quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, Words);
}

void narrow_all(const float* from, int64_t count, uint16_t* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Words words = narrowed(load(from + i));
    __builtin_memcpy(to + i, &words, sizeof words);
  }
  if (i == count) return;
  const Words words = narrowed(load_first(from + i, count - i));
  for (int64_t lane = 0; i + lane < count; ++lane) to[i + lane] = words[lane];
}

void widen_all(const uint16_t* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, Bf16::widen(from + i));
  if (i == count) return;
  store_first(to + i, widen_first<Bf16>(from + i, count - i, from + count), count - i);
}
