#pragma once
// What a matrix of weights multiplies, as far as the error of its output needs to know it: the sum
// of x x^T over the inputs x of a calibration text.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::quantise {

class InputMoments {
 public:
  explicit InputMoments(int64_t columns);

  int64_t columns() const { return columns_; }
  /// `inputs`: float32 [rows, columns]. Uses the caller's threads.
  void add(std::span<const float> inputs);
  /// Float32 [columns, columns], symmetric.
  std::span<const float> sums() const { return sums_; }

 private:
  int64_t columns_;
  std::vector<float> sums_;
};

}  // namespace dms::quantise
