#include "quantise/input_moments.h"

#include "base/check.h"
#include "kernels/matmul.h"

namespace dms::quantise {

InputMoments::InputMoments(int64_t columns)
    : columns_(columns), sums_(static_cast<size_t>(columns * columns), 0.0f) {}

void InputMoments::add(std::span<const float> inputs) {
  const int64_t rows = std::ssize(inputs) / columns_;
  if (rows == 0) return;
  std::vector<float> turned(inputs.size());  // [columns, rows]
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < columns_; ++c) {
      turned[static_cast<size_t>(c * rows + row)] = inputs[static_cast<size_t>(row * columns_ + c)];
    }
  }
  kernels::PackedMatrix packed(kernels::WeightFormat::bf16, columns_, rows);
  for (int64_t panel = 0; panel < packed.panels(); ++panel) {
    const int64_t first = panel * kernels::kPanelRows;
    const int64_t count = std::min(kernels::kPanelRows, columns_ - first);
    packed.set_panel_rows(
        panel,
        0,
        count,
        std::span<const float>(turned).subspan(static_cast<size_t>(first * rows),
                                               static_cast<size_t>(count * rows)));
  }
  kernels::matmul({.weights = packed,
                   .x = turned,
                   .out = sums_,
                   .rows = columns_,
                   .out_columns = columns_,
                   .compute = kernels::Compute::bf16,
                   .epilogue = kernels::Epilogue::accumulate});
}

}  // namespace dms::quantise
