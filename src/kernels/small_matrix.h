#pragma once
// Dense matrices of some tens of rows, whose products are a few microseconds.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "base/check.h"
#include "kernels/small_matrix_table.h"

namespace dms::kernels {

/// Whole vectors begin where vectors do: one that lies across two cache lines is loaded twice.
template <class Number>
struct RowAllocator {
  using value_type = Number;

  RowAllocator() = default;
  template <class Other>
  explicit RowAllocator(const RowAllocator<Other>&) {}

  Number* allocate(size_t count) {
    return static_cast<Number*>(::operator new(count * sizeof(Number), kAlignment));
  }
  void deallocate(Number* numbers, size_t) { ::operator delete(numbers, kAlignment); }
  bool operator==(const RowAllocator&) const { return true; }

 private:
  static constexpr std::align_val_t kAlignment{kMatrixRowBytes};
};

/// float or double, by rows. Each row ends in zeros up to a whole vector.
template <class Number>
class SmallMatrix {
 public:
  SmallMatrix() = default;
  /// Zeros.
  SmallMatrix(int64_t rows, int64_t columns) { reset(rows, columns); }

  /// Zeros of another shape, in the memory that there is.
  void reset(int64_t rows, int64_t columns) {
    reshape(rows, columns);
    std::ranges::fill(values_, Number{0});
  }
  /// Any numbers of another shape, but for the rows' ends.
  void resize(int64_t rows, int64_t columns) {
    reshape(rows, columns);
    for (int64_t i = 0; i < rows; ++i) std::fill(row(i) + columns, row(i) + stride_, Number{0});
  }
  /// Any numbers of another shape, for who writes whole rows, their ends included.
  void reshape(int64_t rows, int64_t columns) {
    rows_ = rows;
    columns_ = columns;
    stride_ = ceil_div(columns, kRowNumbers) * kRowNumbers;
    values_.resize(static_cast<size_t>(rows * stride_));
  }

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  /// The rows that there are and zeros below them, or fewer of them.
  void set_rows(int64_t rows) {
    rows_ = rows;
    values_.resize(static_cast<size_t>(rows * stride_));
  }

  /// Numbers from one row to the next.
  int64_t stride() const { return stride_; }
  Number* data() { return values_.data(); }
  const Number* data() const { return values_.data(); }
  Number* row(int64_t i) { return values_.data() + i * stride_; }
  const Number* row(int64_t i) const { return values_.data() + i * stride_; }
  Number& at(int64_t i, int64_t column) { return row(i)[column]; }
  Number at(int64_t i, int64_t column) const { return row(i)[column]; }

  SmallMatrix transposed() const {
    SmallMatrix out;
    transpose_into(out);
    return out;
  }
  void transpose_into(SmallMatrix& out) const {
    out.resize(columns_, rows_);
    for (int64_t column = 0; column < columns_; ++column) {
      for (int64_t i = 0; i < rows_; ++i) out.at(column, i) = at(i, column);
    }
  }

 private:
  static constexpr int64_t kRowNumbers = kMatrixRowBytes / static_cast<int64_t>(sizeof(Number));

  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t stride_ = 0;
  std::vector<Number, RowAllocator<Number>> values_;
};

/// out = a b, which is neither of them; the same bits on every instruction set.
void multiply(const SmallMatrix<float>& a, const SmallMatrix<float>& b, SmallMatrix<float>& out);
void multiply(const SmallMatrix<double>& a, const SmallMatrix<double>& b, SmallMatrix<double>& out);
/// Likewise a's first `count` columns by b's first rows.
void multiply_first(int64_t count,
                    const SmallMatrix<float>& a,
                    const SmallMatrix<float>& b,
                    SmallMatrix<float>& out);
void multiply_first(int64_t count,
                    const SmallMatrix<double>& a,
                    const SmallMatrix<double>& b,
                    SmallMatrix<double>& out);
/// Likewise a^T b.
void multiply_transposed(const SmallMatrix<float>& a,
                         const SmallMatrix<float>& b,
                         SmallMatrix<float>& out);
void multiply_transposed(const SmallMatrix<double>& a,
                         const SmallMatrix<double>& b,
                         SmallMatrix<double>& out);
/// Likewise a a^T, of a few long rows: the sums as of GramCall.
void row_products(const SmallMatrix<float>& a, SmallMatrix<float>& out);
void row_products(const SmallMatrix<double>& a, SmallMatrix<double>& out);

/// out = the sum of rows from `first` on, each times its factor; as they lie, to their ends.
void sum_rows(const SmallMatrix<double>& matrix,
              int64_t first,
              std::span<const double> factors,
              std::span<double> out);
/// Adds to each row from `first` on the rows of `added`, each times its factor: `factors` [rows,
/// added.rows()].
void add_to_rows(SmallMatrix<double>& matrix,
                 int64_t first,
                 std::span<const double> factors,
                 const SmallMatrix<double>& added);

/// Rotates neighbouring rows from `first` on, [count + 1] of them, from the last pair to the first:
/// see RotationsCall. Of `cos` and `sin` those from `first` on count.
void rotate_rows(SmallMatrix<double>& matrix,
                 int64_t first,
                 int64_t count,
                 std::span<const double> cos,
                 std::span<const double> sin);

/// Q^T A Q of a symmetric A.
struct Tridiagonal {
  std::vector<double> diagonal;     // [n]
  std::vector<double> subdiagonal;  // [n], the last one 0
  SmallMatrix<double> columns;      // of Q, by rows
};
/// By reflections, the same bits on every instruction set, in the memory of `out`. Of numbers of
/// about one, and less.
void tridiagonalise(SmallMatrix<double>& matrix, Tridiagonal& out);

}  // namespace dms::kernels
