#include "kernels/packed_matrix.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::kernels {
namespace {

using testing_support::normal_values;
using testing_support::seed;

float stored(WeightFormat type, float value) {
  return type == WeightFormat::bf16 ? to_float(to_bf16(value)) : value;
}

std::vector<float> row_of(const PackedMatrix& matrix, int64_t row) {
  std::vector<float> values(static_cast<size_t>(matrix.columns()), NAN);
  matrix.get_row(row, values);
  return values;
}

TEST(PackedMatrix, GivesBackRowsSetInAnyPieces) {
  std::mt19937_64 random(seed());
  for (const WeightFormat type : {WeightFormat::f32, WeightFormat::bf16}) {
    for (const int64_t columns : {1, 2, 3, 31, 64, 65, 200}) {
      SCOPED_TRACE("seed " + std::to_string(seed()) + " columns " + std::to_string(columns));
      constexpr int64_t kRows = 70;
      const std::vector<float> values = normal_values(kRows * columns, random);
      PackedMatrix matrix(type, kRows, columns);
      for (int64_t row = 0; row < kRows;) {
        const int64_t first = row % kPanelRows;
        const int64_t wanted = 1 + static_cast<int64_t>(random() % 20);
        const int64_t count = std::min({wanted, kPanelRows - first, kRows - row});
        const auto piece = std::span(values).subspan(static_cast<size_t>(row * columns),
                                                     static_cast<size_t>(count * columns));
        matrix.set_panel_rows(row / kPanelRows, first, count, piece);
        row += count;
      }
      for (int64_t row = 0; row < kRows; ++row) {
        const std::vector<float> got = row_of(matrix, row);
        for (size_t column = 0; column < got.size(); ++column) {
          const float value = values[static_cast<size_t>(row * columns) + column];
          ASSERT_EQ(got[column], stored(type, value)) << "row " << row << " column " << column;
        }
      }
    }
  }
}

TEST(PackedMatrix, LaysOutColumnGroupsOfThirtyTwoOutputs) {
  PackedMatrix matrix(WeightFormat::bf16, 33, 3);
  matrix.set_panel_rows(0, 5, 1, std::vector<float>{1.0f, 2.0f, 3.0f});
  EXPECT_EQ(matrix.panels(), 2);
  EXPECT_EQ(matrix.panel_bytes(), 2 * 32 * 4);
  EXPECT_EQ(matrix.bytes(), 2 * matrix.panel_bytes());
  const auto* words = reinterpret_cast<const uint32_t*>(matrix.panel(0).data());
  EXPECT_EQ(words[5], 0x40003f80u);       // 1 in the lower half, 2 in the upper
  EXPECT_EQ(words[32 + 5], 0x00004040u);  // 3, then the padding column
  EXPECT_EQ(words[4], 0u);
}

TEST(PackedMatrix, RoundsToNearestEvenBf16) {
  PackedMatrix matrix(WeightFormat::bf16, 1, 4);
  const std::vector<float> values{0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, NAN};
  matrix.set_panel_rows(0, 0, 1, values);
  const std::vector<float> got = row_of(matrix, 0);
  EXPECT_EQ(got[0], 1.0f);
  EXPECT_EQ(got[1], 0x1.04p0f);
  EXPECT_EQ(got[2], 0x1.02p0f);
  EXPECT_TRUE(std::isnan(got[3]));
}

TEST(PackedMatrix, RefusesWhatDoesNotFit) {
  EXPECT_THROW(PackedMatrix(WeightFormat::bf16, 1, 1, true), std::logic_error);
  EXPECT_THROW(PackedMatrix(WeightFormat::f32, 0, 1), std::logic_error);
  EXPECT_THROW(PackedMatrix(WeightFormat::f32, 1, 0), std::logic_error);
  EXPECT_THROW(PackedMatrix(WeightFormat::f32, int64_t{1} << 40, int64_t{1} << 40),
               std::logic_error);
  PackedMatrix matrix(WeightFormat::f32, 33, 4);
  const std::vector<float> two_rows(8);
  EXPECT_THROW(matrix.set_panel_rows(2, 0, 2, two_rows), std::logic_error);
  EXPECT_THROW(matrix.set_panel_rows(0, 31, 2, two_rows), std::logic_error);
  EXPECT_THROW(matrix.set_panel_rows(0, 0, 1, two_rows), std::logic_error);
  std::vector<float> row(4);
  EXPECT_THROW(matrix.get_row(33, row), std::logic_error);
  EXPECT_THROW(matrix.get_row(-1, row), std::logic_error);
  EXPECT_THROW(matrix.get_row(0, std::span(row).first(3)), std::logic_error);
}

}  // namespace
}  // namespace dms::kernels
