// Small matrices in plain C++. The sums' order is part of their definition (small_matrix_table.h).

#include <algorithm>
#include <array>
#include <cmath>

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

template <class Number>
void gram(const GramCall<Number>& call) {
  constexpr size_t kChains = kMatrixRowBytes / sizeof(Number);
  for (int64_t i = 0; i < call.count; ++i) {
    for (int64_t j = 0; j < call.count; ++j) {
      std::array<Number, kChains> chains{};
      for (int64_t c = 0; c < call.stride; ++c) {
        chains[static_cast<size_t>(c) % kChains] +=
            call.rows[i * call.stride + c] * call.rows[j * call.stride + c];
      }
      for (size_t left = kChains / 2; left > 0; left /= 2) {
        for (size_t chain = 0; chain < left; ++chain) chains[chain] += chains[chain + left];
      }
      call.out[i * call.out_stride + j] = chains[0];
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

/// Of columns from `begin` on, which is a chain's first.
double dot(const double* a, const double* b, int64_t begin, int64_t end) {
  std::array<double, kDotChains> chains{};
  for (int64_t column = begin; column < end; ++column) {
    chains[static_cast<size_t>(column % kDotChains)] += a[column] * b[column];
  }
  return ((chains[0] + chains[1]) + (chains[2] + chains[3])) +
         ((chains[4] + chains[5]) + (chains[6] + chains[7]));
}

/// A becomes A - v w^T - w v^T with w = p - (scale / 2) (p . v) v and p = scale A v; Q's columns C
/// become C - scale v (v^T C).
void apply_reflection(const TridiagonalCall& call, int64_t first, double scale) {
  const int64_t stride = call.stride;
  const double* v = call.work;
  double* w = call.work + stride;
  for (int64_t column = 0; column < stride; ++column) {
    double sum = 0;
    for (int64_t j = first; j < call.n; ++j) sum += v[j] * call.matrix[j * stride + column];
    w[column] = column < first ? 0.0 : scale * sum;
  }
  const double overlap = 0.5 * scale * dot(w, v, 0, stride);
  for (int64_t column = 0; column < stride; ++column) w[column] -= overlap * v[column];
  for (int64_t column = 0; column < stride; ++column) {
    double sum = 0;
    for (int64_t j = first; j < call.n; ++j) sum += v[j] * call.columns[j * stride + column];
    for (int64_t j = first; j < call.n; ++j) {
      double& number = call.matrix[j * stride + column];
      number = number - v[j] * w[column] - w[j] * v[column];
      call.columns[j * stride + column] -= scale * v[j] * sum;
    }
  }
}

void tridiagonalise(const TridiagonalCall& call) {
  for (int64_t k = 0; k < call.n; ++k) {
    const double* row = call.matrix + k * call.stride;
    const int64_t first = k + 1;
    call.diagonal[k] = row[k];
    call.subdiagonal[k] = first < call.n ? row[first] : 0.0;
    double* v = call.work;
    for (int64_t column = 0; column < call.stride; ++column) {
      v[column] = column > first ? row[column] : 0.0;
    }
    const double squares = dot(v, v, 0, call.stride);
    if (squares < kNoSquare) continue;
    const double left = -std::copysign(std::sqrt(squares + row[first] * row[first]), row[first]);
    v[first] = row[first] - left;
    call.subdiagonal[k] = left;
    apply_reflection(call, first, 2.0 / (squares + v[first] * v[first]));
  }
}

}  // namespace

const SmallMatrixTable kSmallMatricesGeneric{.multiply_f32 = multiply<float>,
                                             .multiply_f64 = multiply<double>,
                                             .gram_f32 = gram<float>,
                                             .gram_f64 = gram<double>,
                                             .rotate = rotate,
                                             .tridiagonalise = tridiagonalise};

}  // namespace dms::kernels
