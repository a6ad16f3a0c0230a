#pragma once
// Tensor maps (CUtensorMap, tiled) and the swizzles that they share with wgmma's descriptors.

#include "cuda_emulator/runtime/numbers.h"

namespace cuda_emulator {

struct TensorMapShape {
  int element_bytes;
  u32 rank;
  void* address;
  const u64* dims;     // [rank], the innermost first
  const u64* strides;  // [rank - 1], bytes
  const u32* box;      // [rank]
  const u32* element_strides;
  int interleave;
  int swizzle;  // 0 to 3: none, 32, 64, 128 bytes
};

/// Writes 128 bytes; returns false where a device would refuse the shape.
bool encode_tensor_map(void* out, const TensorMapShape& shape);

/// The address at which a swizzle of 2^(4 + swizzle) bytes puts what belongs to `address`.
inline u32 swizzled(u32 address, int swizzle) {
  const u32 mask = (1u << swizzle) - 1;
  return address ^ ((address >> 7 & mask) << 4);
}

}  // namespace cuda_emulator
