#include "kernels/small_matrix.h"

#include <algorithm>

namespace dms::kernels {
namespace {

template <class Number, class Multiply>
void multiply_by(const SmallMatrix<Number>& a,
                 const SmallMatrix<Number>& b,
                 Multiply multiply,
                 SmallMatrix<Number>& out) {
  ensure(a.columns() == b.rows(), "matrices that fit");
  out.reset(a.rows(), b.columns());
  multiply({.a = a.data(),
            .a_stride = a.stride(),
            .rows = a.rows(),
            .count = a.columns(),
            .b = b.data(),
            .stride = b.stride(),
            .out = out.data()});
}

}  // namespace

SmallMatrix<float> product(const SmallMatrix<float>& a, const SmallMatrix<float>& b) {
  SmallMatrix<float> out;
  multiply_into(a, b, out);
  return out;
}

SmallMatrix<double> product(const SmallMatrix<double>& a, const SmallMatrix<double>& b) {
  SmallMatrix<double> out;
  multiply_by(a, b, small_matrix_table().multiply_f64, out);
  return out;
}

void multiply_into(const SmallMatrix<float>& a,
                   const SmallMatrix<float>& b,
                   SmallMatrix<float>& out) {
  multiply_by(a, b, small_matrix_table().multiply_f32, out);
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
