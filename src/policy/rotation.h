#pragma once
// Keys and queries as they are before they are turned by their positions, and as they will be.

#include <cstdint>
#include <span>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

/// Takes back the turns by positions [first, first + count).
class TurnsBack {
 public:
  TurnsBack(const Rotation& rotation, int64_t first, int64_t count);
  /// That of first + i, of one head's channels.
  void undo(size_t i, std::span<const float> turned, std::span<float> out) const;

 private:
  size_t half_;
  std::vector<float> cos_;  // [count, half]
  std::vector<float> sin_;
};

/// Mean of the turns by some positions, of a vector's channels: each pair of channels is turned by
/// an angle and shortened.
class MeanRotation {
 public:
  MeanRotation(const Rotation& rotation, std::span<const int64_t> positions);
  /// x: [rows, columns]; turns each column, of which the rows are the channels.
  void turn(std::span<double> x, size_t columns) const;

 private:
  std::vector<double> cos_;
  std::vector<double> sin_;
};

}  // namespace dms::policy
