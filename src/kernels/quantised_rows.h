#pragma once
// Rows of weights as integers under scales, the form in which quantised weights come from files and
// from the quantiser:
//   weight = scale * (code - zero_code)       without minima (symmetric)
//   weight = scale * code + minimum           with minima
// in real numbers, rounded to float32 once. GGUF's Q8_0, Q4_0 (symmetric) and Q4_1 (with minima)
// are exactly this: scales and minima are kept as IEEE halves, so what was one comes back bit for
// bit.

#include <cstdint>
#include <span>

#include "kernels/weight_format.h"

namespace dms::kernels {

struct QuantisedRows {
  WeightFormat format = WeightFormat::int8;
  int64_t group = kQuantGroup;      // columns under one scale: a multiple of kQuantGroup
  std::span<const uint8_t> codes;   // [count, columns]; int8: 0..255, int4: 0..15, one a byte
  std::span<const float> scales;    // [count, ceil(columns / group)]
  std::span<const float> minima{};  // the same shape, or empty
};

}  // namespace dms::kernels
