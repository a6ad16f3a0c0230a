#pragma once
// Products of small matrices, plane rotations and reflections, for the per-ISA files. Plain data:
// nothing with inline functions of the library (see CMakeLists.txt).

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

/// out = A A^T, of few long rows that end in zeros. Sums go in as many chains as kMatrixRowBytes
/// hold numbers, by column, those of one chain by ascending column; then each chain of the first
/// half takes the one as far into the second half, until one is left.
template <class Number>
struct GramCall {
  const Number* rows;  // A, [count, stride]
  int64_t count;
  int64_t stride;
  Number* out;  // [count, out_stride]
  int64_t out_stride;
};

/// Sums along a row go in so many chains by column, those of one chain by ascending column; the
/// chains are joined in pairs.
constexpr int64_t kDotChains = 8;
/// Squares below it have lost their digits; of numbers of about one.
constexpr double kNoSquare = 1e-280;

/// T = Q^T A Q, by Householder's reflections of what is right of the diagonal in a row after the
/// other.
struct TridiagonalCall {
  double* matrix;   // A, [n, stride], symmetric; written over
  double* columns;  // of Q, by rows, [n, stride]; before, those of the identity
  int64_t n;
  int64_t stride;
  double* diagonal;     // [n] of T
  double* subdiagonal;  // [n] of T, the last one 0
  double* work;         // [2, stride]
};

/// Sums of rows go by ascending index without fused multiply-add: the same bits on every
/// instruction set.
struct SmallMatrixTable {
  void (*multiply_f32)(const MatrixCall<float>&);
  void (*multiply_f64)(const MatrixCall<double>&);
  void (*gram_f32)(const GramCall<float>&);
  void (*gram_f64)(const GramCall<double>&);
  void (*rotate)(const RotationsCall&);
  void (*tridiagonalise)(const TridiagonalCall&);
};

extern const SmallMatrixTable kSmallMatricesGeneric;
extern const SmallMatrixTable kSmallMatricesAvx2;
extern const SmallMatrixTable kSmallMatricesAvx512;

/// That of the active instruction set.
const SmallMatrixTable& small_matrix_table();

}  // namespace dms::kernels
