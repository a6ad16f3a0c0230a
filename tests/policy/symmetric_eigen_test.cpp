// Eigenvalues and eigenvectors against Eigen's own solver and against what they are by definition.

#include "policy/adms/symmetric_eigen.h"

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

/// Of the matrix times `scale`, of whose numbers not even the squares need be numbers.
void expect_eigen(const Eigen::MatrixXd& matrix, const std::string& name, double scale = 1.0) {
  SCOPED_TRACE(name + ", DMS_TEST_SEED=" + std::to_string(seed()));
  const int64_t n = matrix.rows();
  kernels::SmallMatrix<double> small(n, n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) small.at(i, j) = matrix(i, j) * scale;
  }
  const SymmetricEigen found = symmetric_eigen(small);
  ASSERT_EQ(std::ssize(found.values), n);
  Eigen::MatrixXd vectors(n, n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) vectors(i, j) = found.vectors.at(i, j);
  }
  const Eigen::VectorXd values = Eigen::Map<const Eigen::VectorXd>(found.values.data(), n) / scale;
  const double size = std::max(matrix.norm(), std::numeric_limits<double>::min());
  const Eigen::VectorXd expected =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(matrix).eigenvalues().reverse();
  EXPECT_LE((values - expected).norm() / size, 1e-13);
  EXPECT_LE((vectors * vectors.transpose() - Eigen::MatrixXd::Identity(n, n)).norm(), 1e-12);
  EXPECT_LE((vectors.transpose() * values.asDiagonal() * vectors - matrix).norm() / size, 1e-12);
}

TEST(SymmetricEigen, IsThatOfMatricesOfAllKinds) {
  std::mt19937_64 random(seed());
  for (const int64_t n : {1, 2, 3, 7, 16, 24, 64, 129}) {
    const std::string shape = std::to_string(n);
    const Eigen::MatrixXd any = random_matrix(n, n, random);
    expect_eigen(any + any.transpose(), "indefinite " + shape);
    expect_eigen(gram(n, n, 3.0, random), "Gram matrix " + shape);
    expect_eigen(gram(n, n, 12.0, random), "wide and large " + shape, 1e200);
    expect_eigen(gram(n, (n + 1) / 2, 1.0, random), "half a rank and small " + shape, 1e-200);
    expect_eigen(Eigen::MatrixXd::Identity(n, n), "ones " + shape);
    expect_eigen(Eigen::MatrixXd::Zero(n, n), "zeros " + shape);
    Eigen::MatrixXd parts = gram(n, n, 0.0, random);
    parts.topRightCorner(n / 2, n - n / 2).setZero();
    parts.bottomLeftCorner(n - n / 2, n / 2).setZero();
    expect_eigen(parts, "two parts " + shape);
  }
}

TEST(SymmetricEigen, EndsOnWhatIsNoNumber) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    kernels::SmallMatrix<double> matrix(5, 5);
    matrix.at(2, 3) = matrix.at(3, 2) = bad;
    const SymmetricEigen found = symmetric_eigen(matrix);
    EXPECT_EQ(found.values, std::vector<double>(5, 0.0));
    EXPECT_EQ(found.vectors.at(4, 4), 1.0);
  }
}

}  // namespace
}  // namespace dms::policy
