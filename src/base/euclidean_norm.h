#pragma once

#include <cmath>
#include <span>

namespace dms {

/// Summed in float64, in ascending order.
inline double euclidean_norm(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

}  // namespace dms
