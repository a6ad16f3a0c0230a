// Spaces of the largest eigenvalues against Eigen's solver and against what they are by definition.

#include "policy/adms/leading_space.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::policy {
namespace {

using testing_support::seed;

Eigen::MatrixXd random_matrix(int64_t rows, int64_t columns, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  return Eigen::MatrixXd::NullaryExpr(rows, columns, [&] { return normal(random); });
}

/// Of columns, by descending size, so that the values span `decades`.
Eigen::MatrixXd gram(int64_t n, int64_t rank, double decades, std::mt19937_64& random) {
  Eigen::MatrixXd x = random_matrix(n, rank, random);
  for (int64_t i = 0; i < rank; ++i) {
    x.col(i) *= std::pow(10.0, -decades * static_cast<double>(i) / static_cast<double>(rank));
  }
  return x * x.transpose();
}

kernels::SmallMatrix<double> small(const Eigen::MatrixXd& matrix) {
  kernels::SmallMatrix<double> out(matrix.rows(), matrix.cols());
  for (int64_t i = 0; i < out.rows(); ++i) {
    for (int64_t j = 0; j < out.columns(); ++j) out.at(i, j) = matrix(i, j);
  }
  return out;
}

kernels::SmallMatrix<double> space_of(const kernels::SmallMatrix<double>& matrix,
                                      int64_t rank,
                                      const kernels::SmallMatrix<double>& other = {},
                                      int64_t other_rank = 0) {
  kernels::SmallMatrix<double> found;
  kernels::SmallMatrix<double> of_other;
  leading_spaces({.matrix = matrix, .rank = rank, .space = found},
                 {.matrix = other, .rank = other_rank, .space = of_other});
  EXPECT_EQ(of_other.rows(), other_rank);
  return found;
}

Eigen::MatrixXd large(const kernels::SmallMatrix<double>& matrix) {
  return Eigen::MatrixXd::NullaryExpr(
      matrix.rows(), matrix.columns(), [&](int64_t i, int64_t j) { return matrix.at(i, j); });
}

/// Of the matrix times `scale`, of whose numbers not even the squares need be numbers.
void expect_spaces(const Eigen::MatrixXd& matrix, const std::string& name, double scale = 1.0) {
  const int64_t n = matrix.rows();
  const double size = std::max(matrix.norm(), std::numeric_limits<double>::min());
  const Eigen::VectorXd values =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(matrix).eigenvalues();
  for (const int64_t rank : {int64_t{0}, int64_t{1}, n / 3, n / 2, n - 1, n}) {
    SCOPED_TRACE(name + ", rank " + std::to_string(rank) +
                 ", DMS_TEST_SEED=" + std::to_string(seed()));
    if (rank > n) continue;
    const Eigen::MatrixXd space = large(space_of(small(matrix * scale), rank));
    ASSERT_EQ(space.rows(), rank);
    ASSERT_EQ(space.cols(), n);
    const Eigen::MatrixXd inside = space * matrix * space.transpose();
    EXPECT_LE((space * space.transpose() - Eigen::MatrixXd::Identity(rank, rank)).norm(), 1e-12);
    EXPECT_LE((matrix * space.transpose() - space.transpose() * inside).norm() / size, 1e-12)
        << "the matrix leaves it";
    EXPECT_LE(std::abs(inside.trace() - values.tail(rank).sum()) / size, 1e-12)
        << "the eigenvalues are not the largest";
  }
}

TEST(LeadingSpace, IsThatOfMatricesOfAllKinds) {
  std::mt19937_64 random(seed());
  for (const int64_t n : {1, 2, 3, 7, 16, 24, 64, 129}) {
    const std::string shape = std::to_string(n);
    const Eigen::MatrixXd any = random_matrix(n, n, random);
    expect_spaces(any + any.transpose(), "indefinite " + shape);
    expect_spaces(gram(n, n, 3.0, random), "Gram matrix " + shape);
    expect_spaces(gram(n, n, 12.0, random), "wide and large " + shape, 1e200);
    expect_spaces(gram(n, (n + 1) / 2, 1.0, random), "half a rank and small " + shape, 1e-200);
    expect_spaces(Eigen::MatrixXd::Identity(n, n), "ones " + shape);
    expect_spaces(Eigen::MatrixXd::Zero(n, n), "zeros " + shape);
    Eigen::MatrixXd parts = gram(n, n, 0.0, random);
    parts.topRightCorner(n / 2, n - n / 2).setZero();
    parts.bottomLeftCorner(n - n / 2, n / 2).setZero();
    expect_spaces(parts, "two parts " + shape);
    // Steps from the first row on find the largest first here.
    Eigen::MatrixXd falling = Eigen::MatrixXd::Zero(n, n);
    for (int64_t i = 0; i < n; ++i) falling(i, i) = static_cast<double>(i * i);
    expect_spaces(falling, "diagonal " + shape);
  }
}

TEST(LeadingSpace, EndsOnWhatIsNoNumber) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    kernels::SmallMatrix<double> matrix(5, 5);
    matrix.at(2, 3) = matrix.at(3, 2) = bad;
    const kernels::SmallMatrix<double> found = space_of(matrix, 2);
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t j = 0; j < 5; ++j) EXPECT_EQ(found.at(i, j), i == j ? 1.0 : 0.0);
    }
  }
}

TEST(LeadingSpace, DoesNotDependOnItsNeighbour) {
  std::mt19937_64 random(seed());
  for (const int64_t n : {5, 24, 40}) {
    const kernels::SmallMatrix<double> matrix = small(gram(n, n, 3.0, random));
    const Eigen::MatrixXd alone = large(space_of(matrix, n / 2));
    for (const int64_t other : {3, 24, 51}) {
      const kernels::SmallMatrix<double> neighbour = small(gram(other, other, 6.0, random));
      EXPECT_EQ(large(space_of(matrix, n / 2, neighbour, other / 3)), alone)
          << n << " beside " << other << ", DMS_TEST_SEED=" << seed();
    }
  }
}

}  // namespace
}  // namespace dms::policy
