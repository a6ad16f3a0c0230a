#pragma once
// Rows of inputs and targets that a fit reads again and again: inputs as bf16, which halves their
// memory and costs a fit by descent nothing.

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace dms::llm {

class RegressionRows {
 public:
  /// `expected`: rows that it will hold, or a few less.
  RegressionRows(int64_t columns, int64_t targets, int64_t expected);

  /// Bytes of a row.
  static int64_t row_bytes(int64_t columns, int64_t targets);

  /// `x`: float32 [rows, columns]; `y`: [rows, targets]. Keeps every `every`-th of all rows that it
  /// is given.
  void add(std::span<const float> x, std::span<const float> y, int64_t every = 1);

  int64_t count() const { return std::ssize(y_) / targets_; }
  int64_t columns() const { return columns_; }
  int64_t targets() const { return targets_; }
  /// Writes a row's inputs, [columns].
  void read(int64_t row, std::span<float> x) const;
  std::span<const float> target(int64_t row) const;

 private:
  int64_t columns_;
  int64_t targets_;
  int64_t given_ = 0;
  std::vector<BFloat16> x_;
  std::vector<float> y_;
};

}  // namespace dms::llm
