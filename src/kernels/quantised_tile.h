#pragma once
// Activations in the product by quantised weights. No inline functions: see kernel_table.h.
//
// A row has one float32 unit, a group of 32 columns an integer factor, a value an integer code:
//   unit    largest |x| of the row / (127 * 2047)      0 below kLeastUnit
//   factor  ceil(largest |x| of the group / (127 * unit)), at most 2048
//   code    nearest(x / (factor * unit)), ties to even, in [-127, 127]
// so a group has a scale of its own to 11 bits of the row's largest, and
//   d    = sum over the group of code * (weight's code - zero)     exact
//   sum  = fma(float(d * factor), scale, sum)                      group after group
//   sum  = fma(float(factor * sum of codes), minimum, sum)         where there are minima
//   y    = sum * unit
// |d| <= 32 * 127 * 255, so d * factor fits 32 bits. The integer factor replaces a multiplication
// by a float32 scale, which would compete with the dot products for their two ports. A row that
// holds an infinity or a NaN has unit NaN and no codes. The same bits on every instruction set.

#include <cstdint>

namespace dms::kernels {

constexpr int64_t kQuantisedColumns = 32;  // equals kQuantGroup
constexpr float kCodesAndFactors = 127.0f * 2047.0f;
constexpr float kLargestActivationCode = 127.0f;
constexpr float kLeastUnit = 0x1p-126f;

/// One row's activations of one column group.
struct QuantisedActivations {
  int8_t codes[kQuantisedColumns];
  int32_t factor;
  int32_t start;         // what the dot product begins with: the weights' zero code times the codes
  float minimum_factor;  // factor * sum of codes
};

}  // namespace dms::kernels
