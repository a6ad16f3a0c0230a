#pragma once
// The nearest of a grid of points in the plane, by a table of those that can be it in each cell.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace dms::kernels {

class NearestPair {
 public:
  /// `points`: first coordinates of up to 256, then second ones. Read while this lives.
  explicit NearestPair(std::span<const float> points);

  /// Index of the point nearest to what lies in the square that the cells cover nearest to the
  /// argument; the lowest of several.
  unsigned operator()(float first, float second) const;

 private:
  static constexpr int64_t kCells = 32;  // a side of the square
  static constexpr float kReach = 4.0f;  // it covers [-kReach, kReach] in both coordinates

  std::span<const float> first_;
  std::span<const float> second_;
  std::vector<uint8_t> candidates_;
  std::array<int32_t, kCells * kCells + 1> begin_{};  // of each cell's candidates
};

}  // namespace dms::kernels
