#pragma once
// The quantiser's inner search, as each instruction set provides it. No inline functions: see
// kernel_table.h.

#include <cstdint>

namespace dms::kernels {

constexpr int64_t kQuantiseRows = 16;     // rows searched side by side
constexpr int64_t kQuantiseColumns = 32;  // equals kQuantGroup

/// One group of columns of 16 rows, column by column.
struct QuantiseBlockCall {
  const float* values;      // [columns, 16]
  const float* importance;  // [columns], or null: all alike
  int64_t columns;          // 1..32
  int32_t zero;             // zero_code of the format
  bool minima;
  uint8_t* codes;  // [columns, 16]
  float* scales;   // [16] halves, widened
  float* minimum;  // [16], where `minima`
};

struct QuantiseTable {
  void (*quantise_block)(const QuantiseBlockCall&);
};

extern const QuantiseTable kQuantiseGeneric;
extern const QuantiseTable kQuantiseAvx2;
extern const QuantiseTable kQuantiseAvx512;

/// The table of the active instruction set.
const QuantiseTable& quantise_table();

}  // namespace dms::kernels
