#include "kernels/quantised_panel.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kScalesBytes = kPanelOutputs * static_cast<int64_t>(sizeof(uint16_t));
constexpr int64_t kQuad = 4;
constexpr int64_t kHalfGroup = kQuantGroup / 2;
constexpr float kSmallestHalf = 0x1p-24f;

/// Of a group's column within the group's codes, for int4 of the byte that holds its nibble.
int64_t code_at(WeightFormat format, int64_t column, int64_t output) {
  const int64_t place = format == WeightFormat::int4 ? column % kHalfGroup : column;
  return (place / kQuad * kPanelOutputs + output) * kQuad + place % kQuad;
}

void write_half(std::byte* to, float value) {
  const uint16_t half = to_half(value);
  std::memcpy(to, &half, sizeof half);
}

float read_half(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return half_to_float(half);
}

}  // namespace

int64_t QuantisedLayout::codes_at() const { return minima ? 2 * kScalesBytes : kScalesBytes; }

int64_t QuantisedLayout::group_bytes() const {
  return codes_at() + kPanelOutputs * kQuantGroup * weight_bits(format) / 8;
}

void write_group(const QuantisedLayout& layout,
                 std::byte* panel,
                 int64_t output,
                 int64_t group,
                 const WeightGroup& weights) {
  std::byte* to = panel + group * layout.group_bytes();
  const bool is_zero = std::abs(half_to_float(to_half(weights.scale))) == 0.0f;
  const auto zero = static_cast<uint8_t>(layout.minima ? 0 : zero_code(layout.format));
  write_half(to + output * 2, is_zero ? kSmallestHalf : weights.scale);
  if (layout.minima) write_half(to + kScalesBytes + output * 2, weights.minimum);
  for (int64_t c = 0; c < std::ssize(weights.codes); ++c) {
    const auto code =
        static_cast<std::byte>(is_zero ? zero : weights.codes[static_cast<size_t>(c)]);
    std::byte& at = to[layout.codes_at() + code_at(layout.format, c, output)];
    if (layout.format == WeightFormat::int8) {
      at = code;
    } else if (c < kHalfGroup) {
      at = (at & std::byte{0xf0}) | (code & std::byte{0x0f});
    } else {
      at = (at & std::byte{0x0f}) | code << 4;
    }
  }
}

GroupScale read_group(const QuantisedLayout& layout,
                      const std::byte* panel,
                      int64_t output,
                      int64_t group,
                      std::span<uint8_t> codes) {
  const std::byte* from = panel + group * layout.group_bytes();
  for (int64_t c = 0; c < std::ssize(codes); ++c) {
    const auto byte =
        std::to_integer<uint8_t>(from[layout.codes_at() + code_at(layout.format, c, output)]);
    uint8_t& code = codes[static_cast<size_t>(c)];
    if (layout.format == WeightFormat::int8) {
      code = byte;
    } else {
      code = static_cast<uint8_t>(c < kHalfGroup ? byte & 15 : byte >> 4);
    }
  }
  const float scale = read_half(from + output * 2);
  const float of_zero = -scale * static_cast<float>(zero_code(layout.format));
  return {.scale = scale,
          .minimum = layout.minima ? read_half(from + kScalesBytes + output * 2) : of_zero};
}

void read_weights(const QuantisedLayout& layout,
                  const std::byte* panel,
                  int64_t output,
                  int64_t columns,
                  float* out,
                  int64_t stride) {
  const int32_t zero = layout.minima ? 0 : zero_code(layout.format);
  for (int64_t first = 0; first < columns; first += kQuantGroup) {
    const std::byte* group = panel + first / kQuantGroup * layout.group_bytes();
    const float scale = read_half(group + output * 2);
    const float minimum = layout.minima ? read_half(group + kScalesBytes + output * 2) : 0.0f;
    const int64_t count = std::min(kQuantGroup, columns - first);
    for (int64_t c = 0; c < count; ++c) {
      auto code =
          std::to_integer<int32_t>(group[layout.codes_at() + code_at(layout.format, c, output)]);
      if (layout.format == WeightFormat::int4) code = c < kHalfGroup ? code & 15 : code >> 4;
      out[(first + c) * stride] = scale * static_cast<float>(code - zero) + minimum;
    }
  }
}

}  // namespace dms::kernels
