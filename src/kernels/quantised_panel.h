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

/// Where in a panel a row lies.
struct PanelRow {
  std::byte* panel;
  int64_t output;  // 0..31
};

/// `codes`: [columns]. Of a last group that is not whole, the rest stays as it is: zero.
void write_codes(const QuantisedLayout& layout, PanelRow to, std::span<const uint8_t> codes);
/// Rounded to halves.
void write_scale(const QuantisedLayout& layout, PanelRow to, int64_t group, float scale);
void write_minimum(const QuantisedLayout& layout, PanelRow to, int64_t group, float minimum);

/// One output's weights as float32, column c to out[c * stride].
void read_weights(const QuantisedLayout& layout,
                  const std::byte* panel,
                  int64_t output,
                  int64_t columns,
                  float* out,
                  int64_t stride);

}  // namespace dms::kernels
