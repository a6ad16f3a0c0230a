// Products of quantised weights and activations in plain C++: the definition (quantised_tile.h)
// that tuned versions are held to, bit for bit. Never tuned.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"
#include "kernels/kernel_table.h"
#include "kernels/quantised_tile.h"

namespace dms::kernels {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kColumns = kQuantisedColumns;

/// Largest magnitude; NaN where a value is not finite.
float largest(const float* x, int64_t count) {
  float most = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
    most = std::max(most, std::abs(x[i]));
  }
  return most;
}

float unit_of(const float* x, int64_t columns) {
  const float unit = largest(x, columns) / kLargestActivationCode;
  return unit < kLeastUnit ? 0.0f : unit;
}

struct RowScale {
  float largest;
  float unit;
};

/// To 4 bits of mantissa.
float rounded_up(float ratio) {
  const auto bits = std::bit_cast<int32_t>(ratio);
  return std::bit_cast<float>((bits + kFactorStep - 1) & ~(kFactorStep - 1));
}

QuantisedActivations activations(const float* x, int64_t count, const RowScale& row, int32_t zero) {
  QuantisedActivations group{};
  group.factor = 1.0f;
  if (!(row.unit > 0.0f)) return group;
  const float ratio = largest(x, count) / row.largest;
  if (ratio < kLeastFactor) return group;
  group.factor = rounded_up(ratio);
  const float inverse = 1.0f / (group.factor * row.unit);
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    group.codes[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
    sum += group.codes[i];
  }
  group.start = -zero * sum;
  group.minimum_factor = group.factor * static_cast<float>(sum);
  return group;
}

template <int32_t kZero>
void pack(const PackTileCall& call) {
  auto* tile = static_cast<QuantisedActivations*>(call.tile);
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* x = call.x + row * call.columns;
    const RowScale scale{.largest = largest(x, call.columns), .unit = unit_of(x, call.columns)};
    call.row_scales[row] = scale.unit;
    for (int64_t column = 0; column < call.columns; column += kColumns) {
      const int64_t count = std::min(kColumns, call.columns - column);
      tile[column / kColumns * call.rows + row] = activations(x + column, count, scale, kZero);
    }
  }
}

float half_at(const std::byte* halves, int64_t index) {
  uint16_t half;
  std::memcpy(&half, halves + index * 2, sizeof half);
  return half_to_float(half);
}

struct Int8 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns;
  static int32_t code(const std::byte* codes, int64_t column, int64_t output) {
    return std::to_integer<int32_t>(codes[(column / 4 * kPanelOutputs + output) * 4 + column % 4]);
  }
};

struct Int4 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns / 2;
  static int32_t code(const std::byte* codes, int64_t column, int64_t output) {
    const int64_t place = column % 16;
    const auto pair =
        std::to_integer<int32_t>(codes[(place / 4 * kPanelOutputs + output) * 4 + place % 4]);
    return column < 16 ? pair & 15 : pair >> 4;
  }
};

template <class Weights, bool kMinima>
float product(const MultiplyTileCall& call, int64_t row, int64_t output) {
  constexpr int64_t kScaleBytes = kPanelOutputs * 2;
  constexpr int64_t kCodesAt = kMinima ? 2 * kScaleBytes : kScaleBytes;
  const auto* group = static_cast<const std::byte*>(call.panel);
  const auto* x = static_cast<const QuantisedActivations*>(call.tile) + row;
  float sum = call.resume ? call.sums[row * kPanelOutputs + output] : 0.0f;
  for (int64_t i = 0; i < call.column_groups; ++i) {
    int32_t dot = x->start;
    for (int64_t column = 0; column < kColumns; ++column) {
      dot += Weights::code(group + kCodesAt, column, output) * x->codes[column];
    }
    sum = std::fma(static_cast<float>(dot), half_at(group, output) * x->factor, sum);
    if (kMinima) sum = std::fma(x->minimum_factor, half_at(group + kScaleBytes, output), sum);
    group += kCodesAt + Weights::kCodeBytes;
    x += call.rows;
  }
  return call.row_scales == nullptr ? sum : sum * call.row_scales[row];
}

template <class Weights, bool kMinima>
void multiply_tile(const MultiplyTileCall& call) {
  for (int64_t row = 0; row < call.rows; ++row) {
    for (int64_t output = 0; output < kPanelOutputs; ++output) {
      call.sums[row * kPanelOutputs + output] = product<Weights, kMinima>(call, row, output);
    }
  }
}

constexpr auto kGroupBytes = static_cast<int64_t>(sizeof(QuantisedActivations));

}  // namespace

const QuantisedMatmulTable kQuantisedGeneric{
    .int8 = {kTileRows, kGroupBytes, pack<128>, multiply_tile<Int8, false>},
    .int8_minima = {kTileRows, kGroupBytes, pack<0>, multiply_tile<Int8, true>},
    .int4 = {kTileRows, kGroupBytes, pack<8>, multiply_tile<Int4, false>},
    .int4_minima = {kTileRows, kGroupBytes, pack<0>, multiply_tile<Int4, true>}};

}  // namespace dms::kernels
