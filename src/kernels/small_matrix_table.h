#pragma once
// Products of small matrices and plane rotations, for the per-ISA files. Plain data: nothing with
// inline functions of the library (see CMakeLists.txt).

#include <cstdint>

namespace dms::kernels {

/// Bytes of which a row of a small matrix takes a multiple: a vector of every instruction set.
constexpr int64_t kMatrixRowBytes = 64;

/// out = a b, or out += a b. Rows lie `stride` numbers apart; those of `b` and `out` are computed
/// to their ends.
template <class Number>
struct MatrixCall {
  const Number* a;  // [rows, count]
  int64_t a_stride;
  int64_t a_step;  // from one number of a row to the next
  int64_t rows;
  int64_t count;
  const Number* b;  // [count, stride]
  int64_t stride;   // a multiple of kMatrixRowBytes
  Number* out;      // [rows, stride]
  bool adds;
};

/// For i from the last to the first: rows i and i + 1 become cos[i] row_i - sin[i] row_i+1 and
/// sin[i] row_i + cos[i] row_i+1.
struct RotationsCall {
  double* rows;  // [count + 1, stride]
  int64_t stride;
  const double* cos;  // [count]
  const double* sin;  // [count]
  int64_t count;
};

/// Sums go by ascending index without fused multiply-add: the same bits on every instruction set.
struct SmallMatrixTable {
  void (*multiply_f32)(const MatrixCall<float>&);
  void (*multiply_f64)(const MatrixCall<double>&);
  void (*rotate)(const RotationsCall&);
};

extern const SmallMatrixTable kSmallMatricesGeneric;
extern const SmallMatrixTable kSmallMatricesAvx2;
extern const SmallMatrixTable kSmallMatricesAvx512;

/// That of the active instruction set.
const SmallMatrixTable& small_matrix_table();

}  // namespace dms::kernels
