// Small matrices in plain C++. The sums' order is part of their definition (small_matrix_table.h).

#include <algorithm>

#include "kernels/small_matrix_table.h"

namespace dms::kernels {
namespace {

template <class Number>
void multiply(const MatrixCall<Number>& call) {
  for (int64_t row = 0; row < call.rows; ++row) {
    Number* out = call.out + row * call.stride;
    if (!call.adds) std::fill_n(out, call.stride, Number{0});
    for (int64_t k = 0; k < call.count; ++k) {
      const Number factor = call.a[row * call.a_stride + k * call.a_step];
      const Number* b = call.b + k * call.stride;
      for (int64_t column = 0; column < call.stride; ++column) out[column] += factor * b[column];
    }
  }
}

void rotate(const RotationsCall& call) {
  for (int64_t i = call.count - 1; i >= 0; --i) {
    double* low = call.rows + i * call.stride;
    double* high = low + call.stride;
    for (int64_t column = 0; column < call.stride; ++column) {
      const double x = low[column];
      const double y = high[column];
      high[column] = call.sin[i] * x + call.cos[i] * y;
      low[column] = call.cos[i] * x - call.sin[i] * y;
    }
  }
}

}  // namespace

const SmallMatrixTable kSmallMatricesGeneric{
    .multiply_f32 = multiply<float>, .multiply_f64 = multiply<double>, .rotate = rotate};

}  // namespace dms::kernels
