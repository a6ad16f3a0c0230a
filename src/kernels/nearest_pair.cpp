#include "kernels/nearest_pair.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dms::kernels {
namespace {

float square(float x) { return x * x; }

}  // namespace

NearestPair::NearestPair(std::span<const float> points)
    : first_(points.first(points.size() / 2)), second_(points.subspan(points.size() / 2)) {
  constexpr float kWidth = 2 * kReach / kCells;
  // Rounding must not lose a point on the border of what is possible.
  constexpr float kMargin = 1.001f;
  std::vector<float> nearest(first_.size());  // squared distances from the cell's nearest corner
  for (int64_t cell = 0; cell < kCells * kCells; ++cell) {
    const float x = (static_cast<float>(cell / kCells) + 0.5f) * kWidth - kReach;
    const float y = (static_cast<float>(cell % kCells) + 0.5f) * kWidth - kReach;
    float least = std::numeric_limits<float>::max();
    for (size_t i = 0; i < nearest.size(); ++i) {
      const float dx = std::abs(first_[i] - x);
      const float dy = std::abs(second_[i] - y);
      nearest[i] =
          square(std::max(dx - kWidth / 2, 0.0f)) + square(std::max(dy - kWidth / 2, 0.0f));
      least = std::min(least, square(dx + kWidth / 2) + square(dy + kWidth / 2));
    }
    for (size_t i = 0; i < nearest.size(); ++i) {
      if (nearest[i] <= kMargin * least) candidates_.push_back(static_cast<uint8_t>(i));
    }
    begin_[static_cast<size_t>(cell) + 1] = static_cast<int32_t>(candidates_.size());
  }
}

unsigned NearestPair::operator()(float first, float second) const {
  const float x = std::clamp(first, -kReach, kReach);
  const float y = std::clamp(second, -kReach, kReach);
  const auto cell_of = [](float at) {
    return std::min(static_cast<int64_t>((at + kReach) * (kCells / (2 * kReach))), kCells - 1);
  };
  const auto cell = static_cast<size_t>(cell_of(x) * kCells + cell_of(y));
  float least = std::numeric_limits<float>::max();
  unsigned index = 0;
  for (int32_t i = begin_[cell]; i < begin_[cell + 1]; ++i) {
    const uint8_t candidate = candidates_[static_cast<size_t>(i)];
    const float distance = square(first_[candidate] - x) + square(second_[candidate] - y);
    if (distance >= least) continue;
    least = distance;
    index = candidate;
  }
  return index;
}

}  // namespace dms::kernels
