#include "kernels/small_matrix.h"

#include <algorithm>

namespace dms::kernels {
namespace {

void run(const MatrixCall<float>& call) { small_matrix_table().multiply_f32(call); }
void run(const MatrixCall<double>& call) { small_matrix_table().multiply_f64(call); }

template <class Number>
void multiply_any(int64_t count,
                  const SmallMatrix<Number>& a,
                  const SmallMatrix<Number>& b,
                  SmallMatrix<Number>& out) {
  ensure(count <= a.columns() && count <= b.rows(), "matrices that fit");
  out.reshape(a.rows(), b.columns());
  run(MatrixCall<Number>{.a = a.data(),
                         .a_stride = a.stride(),
                         .a_step = 1,
                         .rows = a.rows(),
                         .count = count,
                         .b = b.data(),
                         .stride = b.stride(),
                         .out = out.data(),
                         .adds = false});
}

template <class Number>
void multiply_any_transposed(const SmallMatrix<Number>& a,
                             const SmallMatrix<Number>& b,
                             SmallMatrix<Number>& out) {
  ensure(a.rows() == b.rows(), "matrices that fit");
  out.reshape(a.columns(), b.columns());
  run(MatrixCall<Number>{.a = a.data(),
                         .a_stride = 1,
                         .a_step = a.stride(),
                         .rows = a.columns(),
                         .count = a.rows(),
                         .b = b.data(),
                         .stride = b.stride(),
                         .out = out.data(),
                         .adds = false});
}

void run(const GramCall<float>& call) { small_matrix_table().gram_f32(call); }
void run(const GramCall<double>& call) { small_matrix_table().gram_f64(call); }

template <class Number>
void multiply_rows(const SmallMatrix<Number>& a, SmallMatrix<Number>& out) {
  out.resize(a.rows(), a.rows());
  run(GramCall<Number>{.rows = a.data(),
                       .count = a.rows(),
                       .stride = a.stride(),
                       .out = out.data(),
                       .out_stride = out.stride()});
}

}  // namespace

void multiply(const SmallMatrix<float>& a, const SmallMatrix<float>& b, SmallMatrix<float>& out) {
  ensure(a.columns() == b.rows(), "matrices that fit");
  multiply_any(b.rows(), a, b, out);
}

void multiply(const SmallMatrix<double>& a,
              const SmallMatrix<double>& b,
              SmallMatrix<double>& out) {
  ensure(a.columns() == b.rows(), "matrices that fit");
  multiply_any(b.rows(), a, b, out);
}

void multiply_first(int64_t count,
                    const SmallMatrix<float>& a,
                    const SmallMatrix<float>& b,
                    SmallMatrix<float>& out) {
  multiply_any(count, a, b, out);
}

void multiply_first(int64_t count,
                    const SmallMatrix<double>& a,
                    const SmallMatrix<double>& b,
                    SmallMatrix<double>& out) {
  multiply_any(count, a, b, out);
}

void multiply_transposed(const SmallMatrix<float>& a,
                         const SmallMatrix<float>& b,
                         SmallMatrix<float>& out) {
  multiply_any_transposed(a, b, out);
}

void multiply_transposed(const SmallMatrix<double>& a,
                         const SmallMatrix<double>& b,
                         SmallMatrix<double>& out) {
  multiply_any_transposed(a, b, out);
}

void row_products(const SmallMatrix<float>& a, SmallMatrix<float>& out) { multiply_rows(a, out); }

void row_products(const SmallMatrix<double>& a, SmallMatrix<double>& out) { multiply_rows(a, out); }

void sum_rows(const SmallMatrix<double>& matrix,
              int64_t first,
              std::span<const double> factors,
              std::span<double> out) {
  const auto count = std::ssize(factors);
  ensure(first >= 0 && first + count <= matrix.rows(), "rows that are there");
  ensure(std::ssize(out) == matrix.stride(), "room for a row");
  run(MatrixCall<double>{.a = factors.data(),
                         .a_stride = count,
                         .a_step = 1,
                         .rows = 1,
                         .count = count,
                         .b = matrix.row(first),
                         .stride = matrix.stride(),
                         .out = out.data(),
                         .adds = false});
}

void add_to_rows(SmallMatrix<double>& matrix,
                 int64_t first,
                 std::span<const double> factors,
                 const SmallMatrix<double>& added) {
  ensure(added.stride() == matrix.stride(), "rows of one length");
  const int64_t rows = matrix.rows() - first;
  ensure(first >= 0 && std::ssize(factors) == rows * added.rows(), "factors for each row");
  run(MatrixCall<double>{.a = factors.data(),
                         .a_stride = added.rows(),
                         .a_step = 1,
                         .rows = rows,
                         .count = added.rows(),
                         .b = added.data(),
                         .stride = matrix.stride(),
                         .out = matrix.row(first),
                         .adds = true});
}

void rotate_rows(SmallMatrix<double>& matrix,
                 int64_t first,
                 int64_t count,
                 std::span<const double> cos,
                 std::span<const double> sin) {
  ensure(first >= 0 && count >= 0 && first + count < matrix.rows(), "rows that are there");
  ensure(std::min(std::ssize(cos), std::ssize(sin)) >= first + count, "an angle for each pair");
  small_matrix_table().rotate({.rows = matrix.row(first),
                               .stride = matrix.stride(),
                               .cos = cos.data() + first,
                               .sin = sin.data() + first,
                               .count = count});
}

void tridiagonalise(SmallMatrix<double>& matrix, Tridiagonal& out) {
  const int64_t n = matrix.rows();
  ensure(n == matrix.columns(), "a square matrix");
  out.diagonal.resize(static_cast<size_t>(n));
  out.subdiagonal.resize(static_cast<size_t>(n));
  out.columns.reset(n, n);
  for (int64_t i = 0; i < n; ++i) out.columns.at(i, i) = 1.0;
  thread_local SmallMatrix<double> work;
  work.reshape(2, n);
  small_matrix_table().tridiagonalise({.matrix = matrix.data(),
                                       .columns = out.columns.data(),
                                       .n = n,
                                       .stride = matrix.stride(),
                                       .diagonal = out.diagonal.data(),
                                       .subdiagonal = out.subdiagonal.data(),
                                       .work = work.data()});
}

}  // namespace dms::kernels
