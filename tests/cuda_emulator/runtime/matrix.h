#pragma once
// Elements of the tensor cores' operands.

#include "cuda_emulator/runtime/numbers.h"

namespace cuda_emulator {

// Types as in device.h.
inline int element_bytes(char type) { return type == 'b' || type == 'h' ? 2 : type == 't' ? 4 : 1; }

inline float element_value(char type, u32 bits) {
  switch (type) {
    case 'b':
      return bf16_to_float(static_cast<u16>(bits));
    case 'h':
      return f16_to_float(static_cast<u16>(bits));
    case 't':
      return f32(bits & 0xffffe000u);
    case '4':
      return e4m3_to_float(static_cast<u8>(bits));
    case '5':
      return e5m2_to_float(static_cast<u8>(bits));
    case 's':
      return static_cast<i8>(bits);
    default:
      return static_cast<u8>(bits);
  }
}

/// Reads element `index` of those that lie in a register, the lowest first.
inline float element_of_register(char type, u32 value, int index) {
  return element_value(type, value >> (index * 8 * element_bytes(type)));
}

/// Calls function(row, column, register, element in it) for what a lane holds of A, 16 x depth.
template <class F>
void for_each_a_element(char type, int lane, int depth, F function) {
  const int per_register = 4 / element_bytes(type), row = lane / 4, quad = lane % 4;
  for (int j = 0; j < depth / (2 * per_register); j++) {
    for (int e = 0; e < per_register; e++) {
      const int column = per_register * quad + 4 * per_register * (j / 2) + e;
      function(row + 8 * (j % 2), column, j, e);
    }
  }
}

/// Row and column of the accumulator `i` of a lane, in tiles of 8 columns.
struct AccumulatorPlace {
  int row, column;
};
inline AccumulatorPlace accumulator_place(int lane, int i) {
  return {lane / 4 + 8 * (i / 2 % 2), 8 * (i / 4) + 2 * (lane % 4) + i % 2};
}

}  // namespace cuda_emulator
