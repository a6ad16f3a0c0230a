#include "kernels/quantise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/isas.h"
#include "kernels/packed_matrix.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::kernels {
namespace {

using testing_support::normal_values;
using testing_support::seed;

struct Kind {
  WeightFormat format;
  bool minima;
};

constexpr Kind kKinds[] = {{WeightFormat::int8, false},
                           {WeightFormat::int8, true},
                           {WeightFormat::int4, false},
                           {WeightFormat::int4, true}};

std::string describe(const Kind& kind) {
  return std::string(weight_format_name(kind.format)) + (kind.minima ? " with minima" : "");
}

/// Codes under random halves, of any sign and down to subnormals and zero.
QuantisedRowsBuffer random_rows(const Kind& kind, int64_t count, int64_t columns, int64_t group) {
  std::mt19937_64 random(seed());
  const auto half = [&] {
    const float size = std::exp2(-static_cast<float>(random() % 22));
    return random() % 20 == 0 ? 0.0f : half_to_float(to_half(normal_values(1, random, size)[0]));
  };
  QuantisedRowsBuffer rows;
  rows.format = kind.format;
  for (int64_t i = 0; i < count * columns; ++i) {
    rows.codes.push_back(
        static_cast<uint8_t>(random() % static_cast<uint64_t>(largest_code(kind.format) + 1)));
  }
  for (int64_t i = 0; i < count * ceil_div(columns, group); ++i) {
    rows.scales.push_back(half());
    if (kind.minima) rows.minima.push_back(half());
  }
  return rows;
}

TEST(QuantisedRows, ComeBackBitForBitFromTheirPanel) {
  for (const Kind& kind : kKinds) {
    for (const int64_t columns : {1, 31, 32, 33, 96, 130}) {
      for (const int64_t group : {32, 64, 128}) {
        SCOPED_TRACE(describe(kind) + " columns " + std::to_string(columns) + " group " +
                     std::to_string(group));
        const QuantisedRowsBuffer rows = random_rows(kind, 5, columns, group);
        QuantisedRows view = rows.view();
        view.group = group;
        PackedMatrix matrix(kind.format, 45, columns, kind.minima);
        matrix.set_panel_rows(1, 7, view);
        const int32_t zero = kind.minima ? 0 : zero_code(kind.format);
        for (int64_t row = 0; row < 5; ++row) {
          std::vector<float> got(static_cast<size_t>(columns));
          matrix.get_row(32 + 7 + row, got);
          for (int64_t column = 0; column < columns; ++column) {
            const auto at = static_cast<size_t>(row * ceil_div(columns, group) + column / group);
            const int32_t code = rows.codes[static_cast<size_t>(row * columns + column)] - zero;
            const double weight = static_cast<double>(rows.scales[at]) * code +
                                  (kind.minima ? static_cast<double>(rows.minima[at]) : 0.0);
            ASSERT_EQ(got[static_cast<size_t>(column)], static_cast<float>(weight));
          }
        }
      }
    }
  }
}

TEST(QuantisedRows, WithoutMinimaAreTheSameInAMatrixWithThem) {
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4}) {
    const QuantisedRowsBuffer rows = random_rows({format, false}, 1, 70, 32);
    std::vector<float> plain(70);
    std::vector<float> with_minima(70);
    for (const bool minima : {false, true}) {
      PackedMatrix matrix(format, 1, 70, minima);
      matrix.set_panel_rows(0, 0, rows.view());
      matrix.get_row(0, minima ? with_minima : plain);
    }
    EXPECT_EQ(plain, with_minima);
  }
}

TEST(QuantisedRows, ThatDoNotFitAreRefused) {
  const QuantisedRowsBuffer rows = random_rows({WeightFormat::int8, true}, 2, 40, 32);
  const auto refused = [&](auto change, WeightFormat format = WeightFormat::int8) {
    PackedMatrix matrix(format, 40, 40, is_quantised(format));
    QuantisedRows bad = rows.view();
    change(bad);
    EXPECT_THROW(matrix.set_panel_rows(0, 0, bad), std::logic_error);
  };
  refused([](QuantisedRows& r) { r.codes = r.codes.first(79); });
  refused([](QuantisedRows& r) { r.scales = r.scales.first(3); });
  refused([](QuantisedRows& r) { r.minima = r.minima.first(3); });
  refused([](QuantisedRows& r) { r.group = 16; });
  refused([](QuantisedRows&) {}, WeightFormat::int4);
  refused([](QuantisedRows&) {}, WeightFormat::f32);
  PackedMatrix symmetric(WeightFormat::int8, 40, 40);
  EXPECT_THROW(symmetric.set_panel_rows(0, 0, rows.view()), std::logic_error);
  PackedMatrix matrix(WeightFormat::int8, 40, 40, true);
  EXPECT_THROW(matrix.set_panel_rows(0, 31, rows.view()), std::logic_error);
}

/// Weighted squared error of a group as stored.
double error_of(const std::vector<float>& x,
                const QuantisedRowsBuffer& rows,
                int64_t columns,
                int64_t row,
                int64_t group,
                const std::vector<float>& importance) {
  const int32_t zero = rows.minima.empty() ? zero_code(rows.format) : 0;
  const auto at = static_cast<size_t>(row * ceil_div(columns, kQuantGroup) + group);
  double error = 0;
  for (int64_t c = group * kQuantGroup; c < std::min(columns, (group + 1) * kQuantGroup); ++c) {
    const auto i = static_cast<size_t>(row * columns + c);
    const double weight = static_cast<double>(rows.scales[at]) * (rows.codes[i] - zero) +
                          (rows.minima.empty() ? 0.0 : static_cast<double>(rows.minima[at]));
    const double off = static_cast<double>(x[i]) - weight;
    error += off * off * static_cast<double>(importance[static_cast<size_t>(c)]);
  }
  return error;
}

/// What everybody does: the largest magnitude (or the range) over the levels, rounded to nearest.
double nearest_error(const std::vector<float>& x,
                     const Kind& kind,
                     int64_t first,
                     int64_t count,
                     const float* importance) {
  const auto begin = x.begin() + first;
  const auto [least, most] = std::minmax_element(begin, begin + count);
  const auto levels = static_cast<float>(largest_code(kind.format));
  const float largest = std::max(std::abs(*least), std::abs(*most));
  const float half = static_cast<float>(zero_code(kind.format)) - 1;
  const float scale =
      half_to_float(to_half(kind.minima ? (*most - *least) / levels : largest / half));
  const float minimum = kind.minima ? half_to_float(to_half(*least)) : 0.0f;
  double error = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float level =
        scale == 0.0f ? 0.0f : std::nearbyint((begin[i] - minimum) * (1.0f / scale));
    const float code =
        kind.minima ? std::clamp(level, 0.0f, levels) : std::clamp(level, -half - 1, half);
    const double off =
        static_cast<double>(begin[i]) -
        (static_cast<double>(scale) * static_cast<double>(code) + static_cast<double>(minimum));
    error += off * off * static_cast<double>(importance[i]);
  }
  return error;
}

/// Rows as models have them, and as they should not be.
std::vector<float> awkward_rows(int64_t count, int64_t columns, std::mt19937_64& random) {
  std::vector<float> x = normal_values(count * columns, random, 0.02f);
  const std::vector<float> sizes = normal_values(count * columns, random);
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t c = 0; c < columns; ++c) {
      float& value = x[static_cast<size_t>(row * columns + c)];
      const float size = sizes[static_cast<size_t>(row * columns + c)];
      if (row % 6 == 1) value *= std::exp(2 * size);  // heavy tails
      if (row % 6 == 2) value = 0.0f;
      if (row % 6 == 3) value = std::abs(value) + 0.5f;  // one sign
      if (row % 6 == 4) value *= 1e-6f;                  // scales are subnormal halves
      if (row % 6 == 5 && c % 32 == 9) value = 3.0f;     // one outlier a group
    }
  }
  return x;
}

TEST(Quantise, IsNeverWorseThanRoundToNearest) {
  std::mt19937_64 random(seed());
  for (const Kind& kind : kKinds) {
    for (const int64_t columns : {1, 7, 32, 95, 128}) {
      for (const bool weighs : {false, true}) {
        SCOPED_TRACE(describe(kind) + " columns " + std::to_string(columns) + " seed " +
                     std::to_string(seed()));
        const std::vector<float> x = awkward_rows(19, columns, random);
        std::vector<float> importance(static_cast<size_t>(columns), 1.0f);
        for (float& h : importance) {
          if (weighs) h = random() % 5 == 0 ? 0.0f : std::exp(normal_values(1, random)[0]);
        }
        const std::span<const float> given =
            weighs ? std::span(importance).subspan(0) : std::span<float>();
        const QuantisedRowsBuffer rows =
            quantise_rows(kind.format, {.minima = kind.minima, .importance = given}, columns, x);
        for (int64_t row = 0; row < 19; ++row) {
          for (int64_t group = 0; group * 32 < columns; ++group) {
            const double plain = nearest_error(x,
                                               kind,
                                               row * columns + group * 32,
                                               std::min<int64_t>(32, columns - group * 32),
                                               importance.data() + group * 32);
            const double ours = error_of(x, rows, columns, row, group, importance);
            ASSERT_LE(ours, plain * (1 + 1e-5) + 1e-30) << "row " << row << " group " << group;
          }
        }
      }
    }
  }
}

TEST(Quantise, SavesAtLeastATenthOfTheErrorOfFourBits) {
  std::mt19937_64 random(seed());
  constexpr int64_t kColumns = 256;
  const std::vector<float> x = normal_values(64 * kColumns, random);
  const std::vector<float> importance(kColumns, 1.0f);
  for (const bool minima : {false, true}) {
    const Kind kind{WeightFormat::int4, minima};
    const QuantisedRowsBuffer rows = quantise_rows(kind.format, {.minima = minima}, kColumns, x);
    double ours = 0;
    double plain = 0;
    for (int64_t row = 0; row < 64; ++row) {
      for (int64_t group = 0; group < kColumns / 32; ++group) {
        ours += error_of(x, rows, kColumns, row, group, importance);
        plain += nearest_error(x, kind, row * kColumns + group * 32, 32, importance.data());
      }
    }
    EXPECT_LT(ours, 0.9 * plain) << describe(kind);
  }
}

TEST(Quantise, GivesBackWhatLiesOnAGrid) {
  for (const Kind& kind : kKinds) {
    QuantisedRowsBuffer grid = random_rows(kind, 16, 64, 32);
    for (float& scale : grid.scales) scale = 0.25f;
    for (float& minimum : grid.minima) minimum = -1.5f;
    // The lowest and the highest level are in use, as in any file's groups.
    for (size_t i = 0; i < grid.codes.size(); i += 32) {
      grid.codes[i] = 0;
      grid.codes[i + 1] = static_cast<uint8_t>(largest_code(kind.format));
    }
    PackedMatrix exact(kind.format, 16, 64, kind.minima);
    PackedMatrix again(kind.format, 16, 64, kind.minima);
    exact.set_panel_rows(0, 0, grid.view());
    for (int64_t row = 0; row < 16; ++row) {
      std::vector<float> values(64);
      std::vector<float> got(64);
      exact.get_row(row, values);
      again.set_panel_rows(0, row, 1, values);
      again.get_row(row, got);
      EXPECT_EQ(got, values) << describe(kind) << " row " << row;
    }
  }
}

TEST(Quantise, FindsMinimaWorthTheirRoomOnlyOnAGridWithThem) {
  std::mt19937_64 random(seed());
  EXPECT_FALSE(gains_from_minima(WeightFormat::int4, 96, normal_values(8 * 96, random)));
  const std::vector<float> x = normal_values(8 * 96, random);
  const QuantisedRowsBuffer rows = quantise_rows(WeightFormat::int4, {.minima = true}, 96, x);
  PackedMatrix matrix(WeightFormat::int4, 8, 96, true);
  matrix.set_panel_rows(0, 0, rows.view());
  std::vector<float> on_grid(8 * 96);
  for (int64_t row = 0; row < 8; ++row) {
    matrix.get_row(row, std::span(on_grid).subspan(static_cast<size_t>(row) * 96, 96));
  }
  EXPECT_TRUE(gains_from_minima(WeightFormat::int4, 96, on_grid));
  EXPECT_EQ(squared_error(rows.view(), 96, on_grid), 0.0);
  EXPECT_GT(squared_error(rows.view(), 96, x), 0.0);
}

TEST(Quantise, HasTheSameBitsOnEveryInstructionSet) {
  std::mt19937_64 random(seed());
  const std::vector<float> x = awkward_rows(21, 77, random);
  const std::vector<float> importance(77, 0.7f);
  for (const Kind& kind : kKinds) {
    for (const bool weighs : {false, true}) {
      const QuantiseOptions options{
          .minima = kind.minima,
          .importance = weighs ? std::span(importance) : std::span<const float>()};
      std::vector<QuantisedRowsBuffer> all;
      for (const Isa isa : isas_of_this_cpu()) {
        const ScopedIsa forced(isa);
        all.push_back(quantise_rows(kind.format, options, 77, x));
        EXPECT_EQ(all.back().codes, all.front().codes) << trace_of(isa, seed());
        EXPECT_EQ(all.back().scales, all.front().scales) << trace_of(isa, seed());
        EXPECT_EQ(all.back().minima, all.front().minima) << trace_of(isa, seed());
      }
    }
  }
}

TEST(Quantise, KeepsTheLargestFloatsFinite) {
  std::vector<float> x(64, std::numeric_limits<float>::max());
  x[3] = -std::numeric_limits<float>::max();
  for (const Kind& kind : kKinds) {
    PackedMatrix matrix(kind.format, 1, 64, kind.minima);
    matrix.set_panel_rows(0, 0, 1, x);
    std::vector<float> got(64);
    matrix.get_row(0, got);
    for (const float value : got) EXPECT_TRUE(std::isfinite(value)) << describe(kind);
  }
}

}  // namespace
}  // namespace dms::kernels
