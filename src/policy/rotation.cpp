#include "policy/rotation.h"

#include <algorithm>
#include <cmath>

namespace dms::policy {

TurnsBack::TurnsBack(const Rotation& rotation, int64_t first, int64_t count)
    : half_(rotation.frequencies.size()) {
  for (int64_t i = 0; i < count; ++i) {
    for (const float frequency : rotation.frequencies) {
      // Rounded as the model rounds it.
      const float angle = static_cast<float>(first + i) * frequency;
      cos_.push_back(std::cos(angle) / rotation.factor);
      sin_.push_back(std::sin(angle) / rotation.factor);
    }
  }
}

void TurnsBack::undo(size_t i, std::span<const float> turned, std::span<float> out) const {
  std::ranges::copy(turned, out.begin());
  for (size_t c = 0; c < half_; ++c) {
    const float cos = cos_[i * half_ + c];
    const float sin = sin_[i * half_ + c];
    out[c] = cos * turned[c] + sin * turned[c + half_];
    out[c + half_] = cos * turned[c + half_] - sin * turned[c];
  }
}

MeanRotation::MeanRotation(const Rotation& rotation, std::span<const int64_t> positions) {
  for (const float frequency : rotation.frequencies) {
    double cos = 0;
    double sin = 0;
    for (const int64_t position : positions) {
      const double angle = static_cast<double>(position) * static_cast<double>(frequency);
      cos += std::cos(angle);
      sin += std::sin(angle);
    }
    const double share =
        static_cast<double>(rotation.factor) / static_cast<double>(positions.size());
    cos_.push_back(cos * share);
    sin_.push_back(sin * share);
  }
}

void MeanRotation::turn(std::span<double> x, size_t columns) const {
  const size_t half = cos_.size();
  for (size_t pair = 0; pair < half; ++pair) {
    double* low = x.data() + pair * columns;
    double* high = x.data() + (pair + half) * columns;
    for (size_t c = 0; c < columns; ++c) {
      const double before = low[c];
      low[c] = cos_[pair] * before - sin_[pair] * high[c];
      high[c] = cos_[pair] * high[c] + sin_[pair] * before;
    }
  }
}

}  // namespace dms::policy
