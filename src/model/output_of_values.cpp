#include "model/output_of_values.h"

#include <algorithm>
#include <cmath>

#include "kernels/matmul.h"

namespace dms::model {

/// The columns that each query head's output of a group meets, as float32 whatever the matrix is
/// stored in.
std::vector<kernels::PackedMatrix> OutputOfValues::slices(int64_t kv_head) const {
  const auto head_dim = static_cast<size_t>(spec_.head_dim);
  std::vector<kernels::PackedMatrix> parts;
  for (int64_t head = 0; head < spec_.group(); ++head) {
    parts.emplace_back(kernels::WeightFormat::f32, matrix_.rows(), spec_.head_dim);
  }
  std::vector<float> row(static_cast<size_t>(matrix_.columns()));
  const auto first = static_cast<size_t>(kv_head * spec_.group()) * head_dim;
  for (int64_t i = 0; i < matrix_.rows(); ++i) {
    matrix_.get_row(i, row);
    for (size_t head = 0; head < parts.size(); ++head) {
      parts[head].set_panel_rows(i / kernels::kPanelRows,
                                 i % kernels::kPanelRows,
                                 1,
                                 std::span(row).subspan(first + head * head_dim, head_dim));
    }
  }
  return parts;
}

std::vector<float> OutputOfValues::norms(int64_t kv_head, std::span<const float> values) const {
  constexpr int64_t kBlock = 256;  // values at a time
  const int64_t count = std::ssize(values) / spec_.head_dim;
  std::vector<float> norms(static_cast<size_t>(count));
  std::vector<float> out(static_cast<size_t>(kBlock * matrix_.rows()));
  for (const kernels::PackedMatrix& part : slices(kv_head)) {
    for (int64_t first = 0; first < count; first += kBlock) {
      const int64_t rows = std::min(kBlock, count - first);
      kernels::matmul({.weights = part,
                       .x = values.subspan(static_cast<size_t>(first * spec_.head_dim),
                                           static_cast<size_t>(rows * spec_.head_dim)),
                       .out = std::span(out).first(static_cast<size_t>(rows * matrix_.rows())),
                       .rows = rows,
                       .out_columns = matrix_.rows(),
                       .compute = kernels::Compute::f32});
      for (int64_t i = 0; i < rows; ++i) {
        float sum = 0.0f;
        for (int64_t c = 0; c < matrix_.rows(); ++c) {
          sum += std::abs(out[static_cast<size_t>(i * matrix_.rows() + c)]);
        }
        norms[static_cast<size_t>(first + i)] += sum / static_cast<float>(spec_.group());
      }
    }
  }
  return norms;
}

}  // namespace dms::model
