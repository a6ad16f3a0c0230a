#include "policy/adms/leading_space.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace dms::policy {
namespace {

using Doubles = kernels::SmallMatrix<double>;

/// Squares below it have lost their digits; of numbers of about one.
constexpr double kNothing = 1e-280;

/// T = Q^T A Q
struct Tridiagonal {
  std::vector<double> diagonal;     // [n]
  std::vector<double> subdiagonal;  // [n], the last one 0
  Doubles columns;                  // of Q, by rows
};

double product_of(std::span<const double> a, std::span<const double> b) {
  return std::transform_reduce(a.begin(), a.end(), b.begin(), 0.0);
}

Doubles identity(int64_t rows, int64_t columns) {
  Doubles out(rows, columns);
  for (int64_t i = 0; i < std::min(rows, columns); ++i) out.at(i, i) = 1.0;
  return out;
}

/// Reflections, a column after the other, each of what is below the diagonal onto its first number.
class Reflections {
 public:
  explicit Reflections(Doubles matrix)
      : n_(matrix.rows()), matrix_(std::move(matrix)), columns_(identity(n_, n_)) {}

  Tridiagonal run() && {
    Tridiagonal out;
    for (int64_t k = 0; k < n_; ++k) {
      out.diagonal.push_back(matrix_.at(k, k));
      out.subdiagonal.push_back(k + 1 < n_ ? reflect(k) : 0.0);
    }
    out.columns = std::move(columns_);
    return out;
  }

 private:
  /// Rows and columns from k + 1 on; what is then left of column k.
  double reflect(int64_t k) {
    const int64_t first = k + 1;
    const auto count = static_cast<size_t>(n_ - first);
    const std::span<double> column(matrix_.row(k) + first, count);  // it is symmetric
    const double squares = product_of(column.subspan(1), column.subspan(1));
    if (squares < kNothing) return column[0];
    const double left = -std::copysign(std::sqrt(squares + column[0] * column[0]), column[0]);
    column[0] -= left;
    const double scale = 2.0 / (squares + column[0] * column[0]);
    reflect_matrix(first, column, scale);
    reflect_columns(first, column, scale);
    return left;
  }

  /// A becomes A - v w^T - w v^T with w = p - (scale / 2) (p . v) v and p = scale A v.
  void reflect_matrix(int64_t first, std::span<const double> v, double scale) {
    added_.reset(2, n_);
    const std::span<double> p(added_.row(0), static_cast<size_t>(added_.stride()));
    kernels::sum_rows(matrix_, first, v, p);
    std::ranges::fill(p.first(static_cast<size_t>(first)), 0.0);
    const std::span<double> w = p.subspan(static_cast<size_t>(first), v.size());
    for (double& number : w) number *= scale;
    const double overlap = 0.5 * scale * product_of(w, v);
    for (size_t i = 0; i < v.size(); ++i) w[i] -= overlap * v[i];
    std::ranges::copy(v, added_.row(1) + first);
    factors_.clear();
    for (size_t i = 0; i < v.size(); ++i) factors_.insert(factors_.end(), {-v[i], -w[i]});
    kernels::add_to_rows(matrix_, first, factors_, added_);
  }

  void reflect_columns(int64_t first, std::span<const double> v, double scale) {
    added_.reset(1, n_);
    kernels::sum_rows(columns_, first, v, {added_.row(0), static_cast<size_t>(added_.stride())});
    factors_.clear();
    for (const double number : v) factors_.push_back(-scale * number);
    kernels::add_to_rows(columns_, first, factors_, added_);
  }

  int64_t n_;
  Doubles matrix_;
  Doubles columns_;
  Doubles added_;
  std::vector<double> factors_;
};

/// Makes T diagonal from its first row on, until the largest eigenvalues are told from the rest.
class QlSteps {
 public:
  explicit QlSteps(Tridiagonal& form)
      : d_(form.diagonal),
        e_(form.subdiagonal),
        vectors_(form.columns),
        cos_(d_.size()),
        sin_(d_.size()) {}

  /// The rows of the `rank` largest.
  std::vector<int64_t> split(int64_t rank) {
    const size_t others = d_.size() - static_cast<size_t>(rank);
    size_t done = 0;
    while (done < others || (done < d_.size() && !is_split(done, others))) split_off(done++);
    std::vector<int64_t> rows(d_.size());
    std::iota(rows.begin(), rows.end(), int64_t{0});
    const auto value = [&](int64_t i) { return d_[static_cast<size_t>(i)]; };
    std::ranges::stable_sort(
        rows.begin(), rows.begin() + static_cast<int64_t>(done), std::less(), value);
    rows.erase(rows.begin(), rows.begin() + static_cast<int64_t>(others));
    return rows;
  }

 private:
  /// Whether those from `done` on are all above the smallest `others` of those before.
  bool is_split(size_t done, size_t others) const {
    std::vector<double> values(d_.begin(), d_.begin() + static_cast<int64_t>(done));
    const auto border = values.begin() + static_cast<int64_t>(others) - 1;
    std::ranges::nth_element(values, border);
    // The pivots of what is left less the border are positive, as its eigenvalues are.
    double pivot = 1.0;
    for (size_t i = done; i < d_.size(); ++i) {
      const double coupling = i == done ? 0.0 : e_[i - 1] * e_[i - 1];
      pivot = d_[i] - *border - coupling / pivot;
      if (!(pivot > 0.0)) return false;
    }
    return true;
  }

  /// Its eigenvalue is then alone in its row.
  void split_off(size_t first) {
    constexpr int kMostSteps = 40;  // two or three suffice
    for (int step = 0; step < kMostSteps; ++step) {
      const size_t last = end_of_part(first);
      if (last == first) break;
      take_step(first, last);
    }
  }

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
      const double square = f * f + g * g;
      if (square < kNothing) {  // splits here
        e_[i] = 0.0;
        break;
      }
      const double r = std::sqrt(square);
      const double inverse = r * (1.0 / square);  // neither waits for the other
      e_[i] = r;
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
  Doubles& vectors_;
  std::vector<double> cos_;
  std::vector<double> sin_;
};

}  // namespace

Doubles leading_space(const Doubles& matrix, int64_t rank) {
  const int64_t n = matrix.rows();
  ensure(rank >= 0 && rank <= n, "no more directions than there are");
  // Squares of the largest and smallest numbers would not be numbers.
  double scale = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) scale += std::abs(matrix.at(i, j));
  }
  if (rank == n || scale == 0.0 || !std::isfinite(scale)) return identity(rank, n);
  // QL steps want what is large last, and a block's largest directions come first: the other way
  // round a tenth of the rotations is saved.
  Doubles reversed(n, n);
  for (int64_t i = 0; i < n; ++i) {
    std::transform(matrix.row(n - 1 - i),
                   matrix.row(n - 1 - i) + n,
                   std::reverse_iterator(reversed.row(i) + n),
                   [&](double number) { return number / scale; });
  }
  Tridiagonal form = Reflections(std::move(reversed)).run();
  Doubles space(rank, n);
  int64_t out = 0;
  for (const int64_t row : QlSteps(form).split(rank)) {
    std::reverse_copy(form.columns.row(row), form.columns.row(row) + n, space.row(out++));
  }
  return space;
}

}  // namespace dms::policy
