// Products and rotations against plain loops, bit for bit on every instruction set; the tridiagonal
// form against what it is by definition.

#include "kernels/small_matrix.h"

#include <algorithm>
#include <cmath>
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
      SmallMatrix<Number> out;
      multiply(a, b, out);
      SmallMatrix<Number> of_transposed;
      multiply_transposed(a.transposed(), b, of_transposed);
      SmallMatrix<Number> of_first;
      multiply_first(count / 2, a, b, of_first);
      ASSERT_EQ(out.rows(), rows);
      ASSERT_EQ(out.columns(), columns);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t c = 0; c < out.stride(); ++c) {
          Number expected = 0;
          for (int64_t k = 0; k < count && c < columns; ++k) {
            if (k == count / 2) {
              ASSERT_EQ(of_first.at(i, c), expected) << i << ", " << c;
            }
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

template <class Number>
void check_row_products(std::mt19937_64& random) {
  constexpr size_t kChains = kMatrixRowBytes / sizeof(Number);
  for (const int64_t rows : {1, 2, 3, 4, 5, 16, 19}) {
    const int64_t columns = 1 + static_cast<int64_t>(random() % 70);
    const SmallMatrix<Number> matrix = random_matrix<Number>(rows, columns, random);
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", [" + std::to_string(rows) + ", " +
                   std::to_string(columns) + "]");
      const ScopedIsa scoped(isa);
      SmallMatrix<Number> out;
      row_products(matrix, out);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < rows; ++j) {
          std::vector<Number> chains(kChains);
          for (int64_t c = 0; c < columns; ++c) {
            const Number term = matrix.at(i, c) * matrix.at(j, c);
            chains[static_cast<size_t>(c) % kChains] += term;
          }
          for (size_t left = kChains / 2; left > 0; left /= 2) {
            for (size_t chain = 0; chain < left; ++chain) chains[chain] += chains[chain + left];
          }
          ASSERT_EQ(out.at(i, j), chains[0]) << i << ", " << j;
        }
      }
    }
  }
}

TEST(SmallMatrix, MultipliesRowsWithEachOtherInChains) {
  std::mt19937_64 random(seed());
  check_row_products<float>(random);
  check_row_products<double>(random);
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

SmallMatrix<double> product(const SmallMatrix<double>& a, const SmallMatrix<double>& b) {
  SmallMatrix<double> out;
  multiply(a, b, out);
  return out;
}

/// Largest number of Q^T A Q - T and of Q^T Q - 1.
double error_of(const SmallMatrix<double>& matrix, const Tridiagonal& form) {
  const int64_t n = matrix.rows();
  const SmallMatrix<double> columns = form.columns.transposed();
  const SmallMatrix<double> turned = product(product(form.columns, matrix), columns);
  const SmallMatrix<double> ones = product(form.columns, columns);
  double error = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double expected = i == j ? form.diagonal[static_cast<size_t>(i)] : 0.0;
      if (std::abs(i - j) == 1) expected = form.subdiagonal[static_cast<size_t>(std::min(i, j))];
      error = std::max({error,
                        std::abs(turned.at(i, j) - expected),
                        std::abs(ones.at(i, j) - (i == j ? 1.0 : 0.0))});
    }
  }
  return error;
}

TEST(SmallMatrix, BecomesTridiagonalWithTheSameBitsEverywhere) {
  std::mt19937_64 random(seed());
  for (const int64_t n : {1, 2, 3, 7, 8, 9, 16, 17, 24, 31, 64, 75}) {
    SmallMatrix<double> matrix(n, n);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        // Some rows are as they should be before.
        const double number =
            i > j + 1 && j % 4 == 2 ? 0.0 : random_matrix<double>(1, 1, random).at(0, 0);
        matrix.at(i, j) = matrix.at(j, i) = number;
      }
    }
    Tridiagonal expected;
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", n " + std::to_string(n));
      const ScopedIsa scoped(isa);
      SmallMatrix<double> work = matrix;
      Tridiagonal form;
      tridiagonalise(work, form);
      EXPECT_LE(error_of(matrix, form), 1e-13 * static_cast<double>(n));
      EXPECT_EQ(form.subdiagonal.back(), 0.0);
      if (isa == Isa::generic) expected = form;
      EXPECT_EQ(form.diagonal, expected.diagonal);
      EXPECT_EQ(form.subdiagonal, expected.subdiagonal);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t c = 0; c < n; ++c) {
          ASSERT_EQ(form.columns.at(i, c), expected.columns.at(i, c)) << i << ", " << c;
        }
      }
    }
  }
}

}  // namespace
}  // namespace dms::kernels
