#include "kernels/small_matrix.h"

#include <algorithm>
#include <type_traits>

namespace dms::kernels {
namespace {

template <class Number>
void multiply(const MatrixCall<Number>& call) {
  if constexpr (std::is_same_v<Number, float>) {
    small_matrix_table().multiply_f32(call);
  } else {
    small_matrix_table().multiply_f64(call);
  }
}

template <class Number>
void multiply_by(const SmallMatrix<Number>& a,
                 const SmallMatrix<Number>& b,
                 SmallMatrix<Number>& out) {
  ensure(a.columns() == b.rows(), "matrices that fit");
  out.reshape(a.rows(), b.columns());
  multiply<Number>({.a = a.data(),
                    .a_stride = a.stride(),
                    .a_step = 1,
                    .rows = a.rows(),
                    .count = a.columns(),
                    .b = b.data(),
                    .stride = b.stride(),
                    .out = out.data(),
                    .adds = false});
}

template <class Number>
SmallMatrix<Number> multiply_transposed(const SmallMatrix<Number>& a,
                                        const SmallMatrix<Number>& b) {
  ensure(a.rows() == b.rows(), "matrices that fit");
  SmallMatrix<Number> out;
  out.reshape(a.columns(), b.columns());
  multiply<Number>({.a = a.data(),
                    .a_stride = 1,
                    .a_step = a.stride(),
                    .rows = a.columns(),
                    .count = a.rows(),
                    .b = b.data(),
                    .stride = b.stride(),
                    .out = out.data(),
                    .adds = false});
  return out;
}

}  // namespace

SmallMatrix<float> product(const SmallMatrix<float>& a, const SmallMatrix<float>& b) {
  SmallMatrix<float> out;
  multiply_into(a, b, out);
  return out;
}

SmallMatrix<double> product(const SmallMatrix<double>& a, const SmallMatrix<double>& b) {
  SmallMatrix<double> out;
  multiply_by(a, b, out);
  return out;
}

SmallMatrix<float> transposed_product(const SmallMatrix<float>& a, const SmallMatrix<float>& b) {
  return multiply_transposed(a, b);
}

SmallMatrix<double> transposed_product(const SmallMatrix<double>& a, const SmallMatrix<double>& b) {
  return multiply_transposed(a, b);
}

void multiply_into(const SmallMatrix<float>& a,
                   const SmallMatrix<float>& b,
                   SmallMatrix<float>& out) {
  multiply_by(a, b, out);
}

void sum_rows(const SmallMatrix<double>& matrix,
              int64_t first,
              std::span<const double> factors,
              std::span<double> out) {
  const auto count = std::ssize(factors);
  ensure(first >= 0 && first + count <= matrix.rows(), "rows that are there");
  ensure(std::ssize(out) == matrix.stride(), "room for a row");
  multiply<double>({.a = factors.data(),
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
  multiply<double>({.a = factors.data(),
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

}  // namespace dms::kernels
