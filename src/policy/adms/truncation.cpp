#include "policy/adms/truncation.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/small_matrix.h"
#include "policy/adms/leading_space.h"

namespace dms::policy {
namespace {

using Floats = kernels::SmallMatrix<float>;
using Doubles = kernels::SmallMatrix<double>;

template <class To, class From>
void convert(const kernels::SmallMatrix<From>& from, kernels::SmallMatrix<To>& to) {
  to.resize(from.rows(), from.columns());
  for (int64_t i = 0; i < from.rows(); ++i) {
    std::transform(from.row(i), from.row(i) + from.columns(), to.row(i), [](From number) {
      return static_cast<To>(number);
    });
  }
}

/// U, upper, with U^T U = `square`, which holds the products of rows with each other and is written
/// over. Its row is zeros where a row is made of those before it.
void find_upper_factor(Doubles& square, Doubles& upper) {
  constexpr double kNothing = 1e-12;  // of a row's square: rounding
  const int64_t n = square.rows();
  thread_local Doubles row;
  thread_local std::vector<double> squares;
  thread_local std::vector<double> factors;
  upper.reset(n, n);
  row.reshape(1, n);
  squares.resize(static_cast<size_t>(n));
  factors.resize(static_cast<size_t>(n));
  for (int64_t k = 0; k < n; ++k) squares[static_cast<size_t>(k)] = square.at(k, k);
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = square.at(k, k);
    if (!(pivot > kNothing * squares[static_cast<size_t>(k)])) continue;
    const double inverse = 1.0 / std::sqrt(pivot);
    for (int64_t j = k; j < n; ++j) upper.at(k, j) = square.at(k, j) * inverse;
    std::copy_n(upper.row(k), row.stride(), row.row(0));
    const auto left = std::span(factors).first(static_cast<size_t>(n - k - 1));
    std::transform(upper.row(k) + k + 1, upper.row(k) + n, left.begin(), std::negate());
    kernels::add_to_rows(square, k + 1, left, row);
  }
}

/// X becomes Y with U Y = X, zeros where U has none.
void solve(const Doubles& upper, Doubles& x) {
  const int64_t n = upper.rows();
  thread_local Doubles sum;
  sum.reshape(1, x.columns());
  const auto width = static_cast<size_t>(x.stride());
  for (int64_t k = n - 1; k >= 0; --k) {
    const double pivot = upper.at(k, k);
    const double inverse = pivot > 0.0 ? 1.0 / pivot : 0.0;
    const std::span<const double> factors(upper.row(k) + k + 1, static_cast<size_t>(n - k - 1));
    kernels::sum_rows(x, k + 1, factors, {sum.row(0), width});
    std::transform(x.row(k), x.row(k) + width, sum.row(0), x.row(k), [&](double a, double b) {
      return (a - b) * inverse;
    });
  }
}

/// One truncation. Kept by each thread: what is given back to the system costs more than the
/// products.
class Work {
 public:
  /// Up to the matrix whose leading space is looked for.
  void begin(const Truncation& request) {
    read_rows(request);
    read_right(request);
    by_columns_ = right_.rows() >= request.d;
    if (by_columns_) {
      weigh(right_);
      multiply_transposed(right_, weighted_, square_);
      return;
    }
    row_products(right_, square_);
    find_upper_factor(square_, upper_);
    upper_.transpose_into(turned_);
    weigh(turned_);
    multiply(upper_, weighted_, square_);
  }

  SpaceRequest space(const Truncation& request) {
    return {.matrix = square_, .rank = std::min(request.rank, square_.rows()), .space = space_};
  }

  void end(const Truncation& request) {
    space_.set_rows(request.rank);  // zeros for vectors that do not exist
    if (by_columns_) {
      right_.transpose_into(turned_);
      multiply(space_, turned_, shares_);
      write_basis(request, space_);
    } else {
      // With U^T U = R R^T the rows of U^-T R are orthonormal; R is U^T times them.
      multiply(space_, upper_, shares_);
      space_.transpose_into(turned_);
      solve(upper_, turned_);
      multiply_transposed(turned_, right_, vectors_);
      write_basis(request, vectors_);
    }
    if (request.old.order == Order::by_columns) {
      write_columns(request);
    } else {
      write_rows(request);
    }
  }

 private:
  /// The old rows that stay and their Gram matrix.
  void read_rows(const Truncation& request) {
    const Factors& old = request.old;
    const int64_t count = request.old_count;
    const int64_t skipped = old.tokens - count;
    if (old.order == Order::by_columns) {
      rows_.resize(old.rank, count + request.added_count);
      for (int64_t c = 0; c < old.rank; ++c) {
        float* row = rows_.row(c);
        std::copy_n(old.rows.data() + c * old.tokens + skipped, count, row);
        std::fill_n(row + count, request.added_count, 0.0f);
      }
      row_products(rows_, gram_);
    } else {
      rows_.resize(count, old.rank);
      for (int64_t i = 0; i < count; ++i) {
        std::copy_n(old.rows.data() + (skipped + i) * old.rank, old.rank, rows_.row(i));
      }
      multiply_transposed(rows_, rows_, gram_);
    }
    convert(gram_, old_gram_);
  }

  /// R = [old basis; added rows that stay].
  void read_right(const Truncation& request) {
    const Factors& old = request.old;
    const int64_t d = request.d;
    right_.resize(old.rank + request.added_count, d);
    const float* number = old.basis.data();
    if (old.order == Order::by_rows) {
      for (int64_t i = 0; i < old.rank; ++i, number += d) std::copy_n(number, d, right_.row(i));
    } else {
      for (int64_t c = 0; c < d; ++c) {
        for (int64_t i = 0; i < old.rank; ++i) right_.at(i, c) = *number++;
      }
    }
    const float* row = request.added.data() + std::ssize(request.added) - request.added_count * d;
    for (int64_t i = old.rank; i < right_.rows(); ++i, row += d) std::copy_n(row, d, right_.row(i));
  }

  /// The Gram matrix of L, which is that of the old rows and ones for the new ones, by `matrix`.
  void weigh(const Doubles& matrix) {
    weighted_ = matrix;
    multiply_first(old_gram_.rows(), old_gram_, matrix, first_weighted_);
    std::copy_n(first_weighted_.data(),
                first_weighted_.rows() * first_weighted_.stride(),
                weighted_.data());
  }

  static void write_basis(const Truncation& request, const Doubles& vectors) {
    const int64_t d = request.d;
    request.basis.resize(static_cast<size_t>(request.rank * d));
    float* out = request.basis.data();
    const auto narrow = [](double number) { return static_cast<float>(number); };
    if (request.old.order == Order::by_rows) {
      for (int64_t i = 0; i < request.rank; ++i, out += d) {
        std::transform(vectors.row(i), vectors.row(i) + d, out, narrow);
      }
      return;
    }
    for (int64_t c = 0; c < d; ++c) {
      for (int64_t i = 0; i < request.rank; ++i) *out++ = narrow(vectors.at(i, c));
    }
  }

  /// Of an old token what becomes of its row, of an added one its shares.
  void write_columns(const Truncation& request) {
    const int64_t count = request.old_count + request.added_count;
    const int64_t old_rank = request.old.rank;
    convert(shares_, float_shares_);
    multiply_first(old_rank, float_shares_, rows_, new_rows_);
    request.rows.resize(static_cast<size_t>(request.rank * count));
    float* out = request.rows.data();
    const bool in_order = std::ranges::is_sorted(request.sources);
    for (int64_t i = 0; i < request.rank; ++i, out += count) {
      float* row = new_rows_.row(i);
      std::copy_n(float_shares_.row(i) + old_rank, request.added_count, row + request.old_count);
      if (in_order) {
        std::copy_n(row, count, out);
      } else {
        std::ranges::transform(request.sources, out, [&](int64_t source) { return row[source]; });
      }
    }
  }

  void write_rows(const Truncation& request) {
    const int64_t old_rank = request.old.rank;
    shares_.transpose_into(turned_);
    convert(turned_, float_shares_);
    multiply_first(old_rank, rows_, float_shares_, new_rows_);
    request.rows.resize(request.sources.size() * static_cast<size_t>(request.rank));
    float* out = request.rows.data();
    for (const int64_t source : request.sources) {
      const int64_t added = source - request.old_count;
      const float* row = added < 0 ? new_rows_.row(source) : float_shares_.row(old_rank + added);
      out = std::copy_n(row, request.rank, out);
    }
  }

  Floats rows_;  // by columns with room for the new ones
  Floats gram_;
  Doubles old_gram_;
  Doubles right_;  // R
  bool by_columns_ = false;
  Doubles square_;
  Doubles upper_;
  Doubles turned_;
  Doubles weighted_;
  Doubles first_weighted_;
  // What spans the first `rank` right singular vectors of L R: in the basis, and as it is.
  Doubles space_;    // [rank, rows of U, or d]
  Doubles vectors_;  // [rank, d]
  Doubles shares_;   // [rank, rows of R], of each row how much of each vector
  Floats float_shares_;
  Floats new_rows_;
};

}  // namespace

void truncate(const Truncation& a, const Truncation& b) {
  thread_local Work of_a;
  thread_local Work of_b;
  of_a.begin(a);
  of_b.begin(b);
  leading_spaces(of_a.space(a), of_b.space(b));
  of_a.end(a);
  of_b.end(b);
}

}  // namespace dms::policy
