#include "llm/ridge.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"

namespace dms::llm {
namespace {

/// Rows of input that are multiplied at a time, and that stay in a core's cache meanwhile.
constexpr int64_t kRows = 4;
constexpr int64_t kCachedRows = 64;
/// Columns of the factor that are finished before the rows below go on in parallel.
constexpr int64_t kBlock = 64;

double dot(const double* a, const double* b, int64_t count) {
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Cholesky's L in place of the lower triangle of a positive definite `a` [n, n].
void factor(std::vector<double>& a, int64_t n) {
  const auto row = [&](int64_t i) { return a.data() + i * n; };
  const auto finish = [&](int64_t i, int64_t j) {
    row(i)[j] = (row(i)[j] - dot(row(i), row(j), j)) / row(j)[j];
  };
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t end = std::min(first + kBlock, n);
    for (int64_t i = first; i < end; ++i) {
      for (int64_t j = first; j < i; ++j) finish(i, j);
      const double left = row(i)[i] - dot(row(i), row(i), i);
      row(i)[i] = std::sqrt(std::max(left, 1e-14 * row(i)[i]));
    }
    parallel_for(n - end, 8, [&](int64_t below) {
      for (int64_t j = first; j < end; ++j) finish(end + below, j);
    });
  }
}

/// Solves L L^T x = b in place.
void substitute(const std::vector<double>& lower, int64_t n, std::span<double> b) {
  const auto at = [&](int64_t i, int64_t j) { return lower[static_cast<size_t>(i * n + j)]; };
  for (int64_t i = 0; i < n; ++i) {
    double& x = b[static_cast<size_t>(i)];
    x = (x - dot(lower.data() + i * n, b.data(), i)) / at(i, i);
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    const double x = b[static_cast<size_t>(i)] /= at(i, i);
    for (int64_t j = 0; j < i; ++j) b[static_cast<size_t>(j)] -= at(i, j) * x;
  }
}

}  // namespace

Ridge::Ridge(int64_t columns, int64_t targets)
    : columns_(columns),
      targets_(targets),
      products_(static_cast<size_t>(columns * columns)),
      crossed_(static_cast<size_t>(targets * columns)),
      x_sums_(static_cast<size_t>(columns)),
      y_sums_(static_cast<size_t>(targets)) {}

/// Adds x x^T of `count` rows, two rows of the sum and four of the input at a time.
void Ridge::add_products(const double* rows, int64_t count) {
  parallel_for(ceil_div(columns_, 2), 4, [&](int64_t pair) {
    const int64_t i = 2 * pair;
    const int64_t next = std::min(i + 1, columns_ - 1);
    double* sums = products_.data() + i * columns_;
    double* next_sums = products_.data() + next * columns_;
    for (int64_t row = 0; row < count; row += kRows) {
      const double* from = rows + row * columns_;
      double factors[kRows];
      double next_factors[kRows];
      for (int64_t r = 0; r < kRows; ++r) {
        factors[r] = from[r * columns_ + i];
        next_factors[r] = next == i ? 0.0 : from[r * columns_ + next];
      }
      for (int64_t j = 0; j <= next; ++j) {
        double sum = 0;
        double next_sum = 0;
        for (int64_t r = 0; r < kRows; ++r) {
          sum += factors[r] * from[r * columns_ + j];
          next_sum += next_factors[r] * from[r * columns_ + j];
        }
        sums[j] += sum;
        next_sums[j] += next_sum;
      }
    }
  });
}

void Ridge::add(std::span<const float> x, std::span<const float> y) {
  const int64_t rows = std::ssize(x) / columns_;
  ensure(std::ssize(y) == rows * targets_, "targets for each row");
  rows_ += rows;
  const auto width = static_cast<size_t>(columns_);
  // Rows of zeros at the end add nothing.
  std::vector<double> wide(static_cast<size_t>(round_up(rows, kRows)) * width);
  std::ranges::copy(x, wide.begin());
  for (int64_t first = 0; first < rows; first += kCachedRows) {
    add_products(wide.data() + first * columns_,
                 std::min(kCachedRows, round_up(rows, kRows) - first));
  }
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const std::span<const double> of_row = std::span(wide).subspan(row * width, width);
    for (size_t c = 0; c < width; ++c) x_sums_[c] += of_row[c];
    for (size_t target = 0; target < y_sums_.size(); ++target) {
      const double value = y[row * y_sums_.size() + target];
      y_sums_[target] += value;
      for (size_t c = 0; c < width; ++c) crossed_[target * width + c] += value * of_row[c];
    }
  }
}

void Ridge::add(const Ridge& other) {
  ensure(other.columns_ == columns_ && other.targets_ == targets_, "sums of one shape");
  const auto add_all = [](const std::vector<double>& from, std::vector<double>& to) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  };
  rows_ += other.rows_;
  add_all(other.products_, products_);
  add_all(other.crossed_, crossed_);
  add_all(other.x_sums_, x_sums_);
  add_all(other.y_sums_, y_sums_);
}

LinearFit Ridge::solve(double penalty) const {
  ensure(rows_ > 0 && penalty > 0, "rows and a penalty");
  const auto n = static_cast<size_t>(columns_);
  const auto rows = static_cast<double>(rows_);
  std::vector<double> lower = products_;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) lower[i * n + j] -= x_sums_[i] * x_sums_[j] / rows;
    lower[i * n + i] += penalty;
  }
  factor(lower, columns_);
  LinearFit fit;
  for (size_t target = 0; target < y_sums_.size(); ++target) {
    const double mean = y_sums_[target] / rows;
    std::vector<double> weights(n);
    for (size_t i = 0; i < n; ++i) weights[i] = crossed_[target * n + i] - x_sums_[i] * mean;
    substitute(lower, columns_, weights);
    double intercept = mean;
    for (size_t i = 0; i < n; ++i) intercept -= weights[i] * x_sums_[i] / rows;
    for (const double weight : weights) fit.weights.push_back(static_cast<float>(weight));
    fit.intercepts.push_back(static_cast<float>(intercept));
  }
  return fit;
}

}  // namespace dms::llm
