#include "llm/regression_rows.h"

namespace dms::llm {

RegressionRows::RegressionRows(int64_t columns, int64_t targets, int64_t expected)
    : columns_(columns), targets_(targets) {
  x_.reserve(static_cast<size_t>(expected * columns));
  y_.reserve(static_cast<size_t>(expected * targets));
}

int64_t RegressionRows::row_bytes(int64_t columns, int64_t targets) {
  return columns * int64_t{sizeof(BFloat16)} + targets * int64_t{sizeof(float)};
}

void RegressionRows::add(std::span<const float> x, std::span<const float> y, int64_t every) {
  const auto columns = static_cast<size_t>(columns_);
  const auto targets = static_cast<size_t>(targets_);
  for (size_t row = 0; row < y.size() / targets; ++row) {
    if (given_++ % every != 0) continue;
    for (const float value : x.subspan(row * columns, columns)) x_.push_back(to_bf16(value));
    const std::span<const float> wanted = y.subspan(row * targets, targets);
    y_.insert(y_.end(), wanted.begin(), wanted.end());
  }
}

void RegressionRows::read(int64_t row, std::span<float> x) const {
  const auto first = static_cast<size_t>(row * columns_);
  for (size_t i = 0; i < x.size(); ++i) x[i] = to_float(x_[first + i]);
}

std::span<const float> RegressionRows::target(int64_t row) const {
  return std::span(y_).subspan(static_cast<size_t>(row * targets_), static_cast<size_t>(targets_));
}

}  // namespace dms::llm
