#pragma once
// The 16-bit scales of tokens in the pages' coded sides.

#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"
#include "kernels/kv_format_table.h"

namespace dms::kernels {

inline float read_scale(const SideSlot& at) {
  BFloat16 scale;
  std::memcpy(&scale, at.scales + at.slot * static_cast<int64_t>(sizeof scale), sizeof scale);
  return to_float(scale);
}

inline void write_scale(const SideSlot& at, BFloat16 scale) {
  std::memcpy(at.scales + at.slot * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
}

inline bool all_finite(const float* x, int64_t count) {
  bool is_finite = true;
  for (int64_t i = 0; i < count; ++i) is_finite &= std::isfinite(x[i]);
  return is_finite;
}

/// The scale of a token in which something is not finite.
inline BFloat16 nan_scale() { return to_bf16(std::numeric_limits<float>::quiet_NaN()); }

}  // namespace dms::kernels
