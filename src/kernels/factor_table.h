#pragma once
// Products with the factors of a block of low rank, and their types, for the per-ISA files. Plain
// data: nothing with inline functions of the library (see CMakeLists.txt).

#include <cstdint>

namespace dms::kernels {

/// Rows that share what is read of a factor: their sums stay in registers.
constexpr int64_t kFactorRows = 4;

struct FactorCall {
  const float* x[kFactorRows];  // [count] each
  float* out[kFactorRows];      // [columns] each
  int64_t rows;                 // 1..kFactorRows
  int64_t count;
  const void* factor;  // [count, columns]
  int64_t columns;
};

/// out[i][c] += x[i][0] * factor[0][c] + x[i][1] * factor[1][c] + …, in that order and without
/// fused multiply-add: the same bits on every instruction set.
struct FactorTable {
  void (*multiply_f32)(const FactorCall&);
  void (*multiply_bf16)(const FactorCall&);
  /// To the bits of bf16, nearest even, NaN staying NaN; and back.
  void (*narrow)(const float* from, int64_t count, uint16_t* to);
  void (*widen)(const uint16_t* from, int64_t count, float* to);
};

extern const FactorTable kFactorsGeneric;
extern const FactorTable kFactorsAvx2;
extern const FactorTable kFactorsAvx512;

/// That of the active instruction set.
const FactorTable& factor_table();

}  // namespace dms::kernels
