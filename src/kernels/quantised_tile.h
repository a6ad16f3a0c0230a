#pragma once
// Activations in the product by quantised weights. No inline functions: see kernel_table.h.
//
// A row has one float32 unit, a group of 32 columns a factor, a value an integer code:
//   unit    largest |x| of the row / 127, or 0 below kLeastUnit
//   factor  largest |x| of the group / largest |x| of the row, rounded up to 4 bits of mantissa;
//           below kLeastFactor 1, and all codes 0
//   code    nearest(x / (factor * unit)), ties to even, in [-127, 127]
// so a group has a scale of its own, at most a sixteenth too large, and
//   d    = sum over the group of code * (weight's code - zero)     exact, below 2^24
//   sum  = fma(float(d), scale * factor, sum)                      group after group
//   sum  = fma(factor * sum of codes, minimum, sum)                where there are minima
//   y    = sum * unit
// Both products by a factor are exact, so it does not matter how they come about: multiplications
// compete with the dot products for their two ports, and for many rows the AVX-512 kernel keeps the
// sixteen multiples of each scale at hand. A row that holds an infinity or a NaN has unit NaN and
// codes 0 under factors 1. The same bits on every instruction set.

#include <cstdint>

namespace dms::kernels {

constexpr int64_t kQuantisedColumns = 32;  // equals kQuantGroup
constexpr float kLargestActivationCode = 127.0f;
constexpr float kLeastUnit = 0x1p-96f;
constexpr float kLeastFactor = 0x1p-24f;
constexpr int32_t kFactorStep = 1 << 19;  // of a factor's bits: the lowest of 4 bits of mantissa

/// One row's activations of one column group.
struct QuantisedActivations {
  int8_t codes[kQuantisedColumns];
  float factor;
  int32_t start;         // what the dot product begins with: the weights' zero code times the codes
  float minimum_factor;  // factor * sum of codes
};

}  // namespace dms::kernels
