#pragma once
// A panel of quantised weights: 32 outputs, group of columns after group of columns, so that a thin
// product reads one stream. A group of kQuantGroup = 32 columns is
//   scales    32 halves, one an output
//   minima    32 halves, where the matrix stores them
//   codes     int8: [8 quads of columns][32 outputs][4 columns], a byte each;
//             int4: [4][32 outputs][4 columns], low nibbles the first 16 columns, high ones the
//             rest
// Sixteen outputs' quads are one 64-byte vector, vpdpbusd's unsigned side.

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/weight_format.h"

namespace dms::kernels {

struct QuantisedLayout {
  WeightFormat format = WeightFormat::int8;
  bool minima = false;

  int64_t codes_at() const;  // bytes before a group's codes
  int64_t group_bytes() const;
};

/// One output's weights of a group.
struct WeightGroup {
  std::span<const uint8_t> codes;  // 1..32; the rest stays as it is: zero
  float scale = 0.0f;              // finite; rounded to a half
  float minimum = 0.0f;            // the same; ignored without minima
};

/// A scale of 0 is written as the smallest there is, under codes that stand for 0: the weights are
/// the same, and products may take a scale's exponent for granted.
void write_group(const QuantisedLayout& layout,
                 std::byte* panel,
                 int64_t output,
                 int64_t group,
                 const WeightGroup& weights);

/// What the codes of one output's group are under.
struct GroupScale {
  float scale = 0.0f;
  float minimum = 0.0f;  // without minima: that of code 0
};

/// One output's codes of a group, as many as there is room for.
GroupScale read_group(const QuantisedLayout& layout,
                      const std::byte* panel,
                      int64_t output,
                      int64_t group,
                      std::span<uint8_t> codes);  // 1..32

/// One output's weights as float32, column c to out[c * stride].
void read_weights(const QuantisedLayout& layout,
                  const std::byte* panel,
                  int64_t output,
                  int64_t columns,
                  float* out,
                  int64_t stride);

}  // namespace dms::kernels
