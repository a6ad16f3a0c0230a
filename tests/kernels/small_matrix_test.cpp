// Products and rotations against plain loops, bit for bit on every instruction set.

#include "kernels/small_matrix.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isas.h"
#include "support/seed.h"

namespace dms::kernels {
namespace {

using testing_support::seed;

template <class Number>
SmallMatrix<Number> random_matrix(int64_t rows, int64_t columns, std::mt19937_64& random) {
  std::normal_distribution<Number> normal;
  SmallMatrix<Number> matrix(rows, columns);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < columns; ++c) matrix.at(i, c) = normal(random);
  }
  return matrix;
}

template <class Number>
void check_products(std::mt19937_64& random) {
  for (int64_t columns = 1; columns <= 70; columns += columns < 20 ? 1 : 9) {
    const int64_t rows = static_cast<int64_t>(random() % 9);
    const int64_t count = static_cast<int64_t>(random() % 40);
    const SmallMatrix<Number> a = random_matrix<Number>(rows, count, random);
    const SmallMatrix<Number> b = random_matrix<Number>(count, columns, random);
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", [" + std::to_string(rows) + ", " +
                   std::to_string(count) + "] by " + std::to_string(columns));
      const ScopedIsa scoped(isa);
      const SmallMatrix<Number> out = product(a, b);
      const SmallMatrix<Number> of_transposed = transposed_product(a.transposed(), b);
      ASSERT_EQ(out.rows(), rows);
      ASSERT_EQ(out.columns(), columns);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t c = 0; c < out.stride(); ++c) {
          Number expected = 0;
          for (int64_t k = 0; k < count && c < columns; ++k) {
            const Number term = a.at(i, k) * b.at(k, c);
            expected += term;
          }
          ASSERT_EQ(out.at(i, c), expected) << i << ", " << c;
          if (c < columns) {
            ASSERT_EQ(of_transposed.at(i, c), expected) << i << ", " << c;
          }
        }
      }
    }
  }
}

TEST(SmallMatrix, MultipliesWithTheBitsOfPlainLoops) {
  std::mt19937_64 random(seed());
  check_products<float>(random);
  check_products<double>(random);
}

TEST(SmallMatrix, SumsAndAddsRowsWithTheBitsOfPlainLoops) {
  std::mt19937_64 random(seed());
  for (const int64_t columns : {1, 8, 9, 16, 24, 33, 64, 75}) {
    const int64_t first = columns % 3;
    const SmallMatrix<double> before = random_matrix<double>(9, columns, random);
    const SmallMatrix<double> added = random_matrix<double>(columns % 4, columns, random);
    std::vector<double> factors(static_cast<size_t>((9 - first) * added.rows()));
    for (double& factor : factors) factor = std::normal_distribution<double>()(random);
    const SmallMatrix<double> weights = random_matrix<double>(1, 9 - first, random);
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", " + std::to_string(columns) + " columns");
      const ScopedIsa scoped(isa);
      SmallMatrix<double> after = before;
      add_to_rows(after, first, factors, added);
      std::vector<double> sum(static_cast<size_t>(before.stride()), 1.0);
      sum_rows(before, first, {weights.row(0), static_cast<size_t>(9 - first)}, sum);
      for (int64_t c = 0; c < columns; ++c) {
        double expected_sum = 0;
        for (int64_t i = 0; i < 9; ++i) {
          double expected = before.at(i, c);
          for (int64_t t = 0; t < added.rows() && i >= first; ++t) {
            const double term =
                factors[static_cast<size_t>((i - first) * added.rows() + t)] * added.at(t, c);
            expected += term;
          }
          ASSERT_EQ(after.at(i, c), expected) << i << ", " << c;
          if (i < first) continue;
          const double term = weights.at(0, i - first) * before.at(i, c);
          expected_sum += term;
        }
        ASSERT_EQ(sum[static_cast<size_t>(c)], expected_sum) << c;
      }
    }
  }
}

TEST(SmallMatrix, RotatesNeighboursFromTheLastToTheFirst) {
  std::mt19937_64 random(seed());
  for (const int64_t columns : {1, 8, 9, 16, 24, 33, 64, 75}) {
    const int64_t first = columns % 3;
    const int64_t count = columns % 5;
    const SmallMatrix<double> before = random_matrix<double>(9, columns, random);
    const SmallMatrix<double> angles = random_matrix<double>(2, 9, random);
    SmallMatrix<double> expected = before;
    for (int64_t i = first + count - 1; i >= first; --i) {
      for (int64_t c = 0; c < columns; ++c) {
        const double low_cos = angles.at(0, i) * expected.at(i, c);
        const double low_sin = angles.at(1, i) * expected.at(i, c);
        const double high_cos = angles.at(0, i) * expected.at(i + 1, c);
        const double high_sin = angles.at(1, i) * expected.at(i + 1, c);
        expected.at(i, c) = low_cos - high_sin;
        expected.at(i + 1, c) = low_sin + high_cos;
      }
    }
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", " + std::to_string(columns) + " columns");
      const ScopedIsa scoped(isa);
      SmallMatrix<double> rotated = before;
      rotate_rows(rotated, first, count, {angles.row(0), 9}, {angles.row(1), 9});
      for (int64_t i = 0; i < 9; ++i) {
        for (int64_t c = 0; c < columns; ++c) ASSERT_EQ(rotated.at(i, c), expected.at(i, c));
      }
    }
  }
}

}  // namespace
}  // namespace dms::kernels
