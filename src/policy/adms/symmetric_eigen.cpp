#include "policy/adms/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <Eigen/Dense>

namespace dms::policy {
namespace {

using kernels::SmallMatrix;
using Map = Eigen::Map<const Eigen::MatrixXd, 0, Eigen::OuterStride<>>;

/// T = Q^T (matrix / scale) Q
struct Tridiagonal {
  std::vector<double> diagonal;     // [n]
  std::vector<double> subdiagonal;  // [n], the last one 0
  SmallMatrix<double> columns;      // of Q, by rows
};

Tridiagonal tridiagonal(const SmallMatrix<double>& matrix, double scale) {
  const int64_t n = matrix.rows();
  const Map map(matrix.data(), n, n, Eigen::OuterStride<>(matrix.stride()));
  // QL steps want what is large last, and a block's largest directions come first: the other way
  // round a tenth of the rotations is saved.
  const Eigen::Tridiagonalization<Eigen::MatrixXd> form(map.reverse() / scale);
  Tridiagonal out{.diagonal = {}, .subdiagonal = {}, .columns = {n, n}};
  const auto diagonal = form.diagonal();
  const auto subdiagonal = form.subDiagonal();
  for (int64_t i = 0; i < n; ++i) {
    out.diagonal.push_back(diagonal(i));
    out.subdiagonal.push_back(i + 1 < n ? subdiagonal(i) : 0.0);
  }
  const Eigen::MatrixXd q = form.matrixQ();
  for (int64_t i = 0; i < n; ++i)
    std::reverse_copy(q.col(i).data(), q.col(i).data() + n, out.columns.row(i));
  return out;
}

/// Makes T diagonal. Parts of it that are split off by a zero go one after another.
class QlSteps {
 public:
  explicit QlSteps(Tridiagonal& form)
      : d_(form.diagonal),
        e_(form.subdiagonal),
        vectors_(form.columns),
        cos_(d_.size()),
        sin_(d_.size()) {}

  void run() {
    constexpr int kMostSteps = 40;  // two or three suffice
    for (size_t first = 0; first < d_.size(); ++first) {
      for (int step = 0; step < kMostSteps; ++step) {
        const size_t last = end_of_part(first);
        if (last == first) break;
        take_step(first, last);
      }
    }
  }

 private:
  size_t end_of_part(size_t first) const {
    size_t last = first;
    constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
    while (last + 1 < d_.size() &&
           !(std::abs(e_[last]) <= kEpsilon * (std::abs(d_[last]) + std::abs(d_[last + 1])))) {
      ++last;
    }
    return last;
  }

  /// One implicit step on rows [first, last].
  void take_step(size_t first, size_t last) {
    const double half = (d_[first + 1] - d_[first]) / (2.0 * e_[first]);
    const double root = std::copysign(std::sqrt(half * half + 1.0), half);
    double g = d_[last] - d_[first] + e_[first] / (half + root);
    double cos = 1.0;
    double sin = 1.0;
    double p = 0.0;
    size_t i = last;
    for (; i > first; --i) {
      const double f = sin * e_[i - 1];
      const double b = cos * e_[i - 1];
      const double r = std::sqrt(f * f + g * g);
      e_[i] = r;
      if (r == 0.0) break;  // splits here
      const double inverse = 1.0 / r;
      sin = f * inverse;
      cos = g * inverse;
      g = d_[i] - p;
      const double q = (d_[i - 1] - g) * sin + 2.0 * cos * b;
      p = sin * q;
      d_[i] = g + p;
      g = cos * q - b;
      cos_[i - 1] = cos;
      sin_[i - 1] = sin;
    }
    d_[i] -= p;
    if (i == first) e_[first] = g;
    e_[last] = 0.0;
    kernels::rotate_rows(
        vectors_, static_cast<int64_t>(i), static_cast<int64_t>(last - i), cos_, sin_);
  }

  std::vector<double>& d_;
  std::vector<double>& e_;
  SmallMatrix<double>& vectors_;
  std::vector<double> cos_;
  std::vector<double> sin_;
};

}  // namespace

SymmetricEigen symmetric_eigen(const SmallMatrix<double>& matrix) {
  const int64_t n = matrix.rows();
  SymmetricEigen out{.values = {}, .vectors = {n, n}};
  // Squares of the largest and smallest numbers would not be numbers.
  double scale = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) scale += std::abs(matrix.at(i, j));
  }
  if (scale == 0.0 || !std::isfinite(scale)) {
    out.values.assign(static_cast<size_t>(n), 0.0);
    for (int64_t i = 0; i < n; ++i) out.vectors.at(i, i) = 1.0;
    return out;
  }
  Tridiagonal form = tridiagonal(matrix, scale);
  QlSteps(form).run();
  std::vector<int64_t> order(form.diagonal.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto value = [&](int64_t i) { return form.diagonal[static_cast<size_t>(i)]; };
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return value(a) > value(b); });
  for (const int64_t i : order) {
    std::copy_n(form.columns.row(i), n, out.vectors.row(std::ssize(out.values)));
    out.values.push_back(value(i) * scale);
  }
  return out;
}

}  // namespace dms::policy
