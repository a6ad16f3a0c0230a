#include "llm/mlp.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/matmul.h"

namespace dms::llm {
namespace {

/// Hidden units that are worth another thread's attention.
constexpr int64_t kUnits = 4;

std::vector<float> transposed(std::span<const float> values, int64_t rows, int64_t columns) {
  std::vector<float> turned(values.size());
  parallel_for(columns, 32, [&](int64_t column) {
    for (int64_t row = 0; row < rows; ++row) {
      turned[static_cast<size_t>(column * rows + row)] =
          values[static_cast<size_t>(row * columns + column)];
    }
  });
  return turned;
}

float sum(std::span<const float> values) {
  double total = 0;
  for (const float value : values) total += value;
  return static_cast<float>(total);
}

float dot(std::span<const float> a, std::span<const float> b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += static_cast<double>(a[i]) * b[i];
  return static_cast<float>(total);
}

/// What the hidden layer makes of a batch: [width, rows], so that a unit's numbers lie together.
struct Activations {
  std::vector<float> values;  // GELU(W1 x + b1)
  std::vector<float> slopes;  // GELU'(W1 x + b1), where they are wanted
};

Activations activate(const LinearFit& layer, const kernels::PackedMatrix& inputs, bool slopes) {
  const int64_t rows = inputs.rows();
  const auto width = std::ssize(layer.intercepts);
  Activations out;
  out.values.resize(static_cast<size_t>(width * rows));
  if (slopes) out.slopes.resize(out.values.size());
  kernels::matmul({.weights = inputs,
                   .x = layer.weights,
                   .out = out.values,
                   .rows = width,
                   .out_columns = rows,
                   .compute = kernels::Compute::f32});
  parallel_for(width, kUnits, [&](int64_t unit) {
    constexpr float kDensity = std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;
    for (int64_t i = unit * rows; i < (unit + 1) * rows; ++i) {
      const auto at = static_cast<size_t>(i);
      const float a = out.values[at] + layer.intercepts[static_cast<size_t>(unit)];
      const float share = 0.5f * std::erfc(-a / std::numbers::sqrt2_v<float>);
      out.values[at] = a * share;
      if (slopes) out.slopes[at] = share + a * kDensity * std::exp(-0.5f * a * a);
    }
  });
  return out;
}

/// W2 h + b2 - targets, [targets, rows].
std::vector<float> errors_of(const LinearFit& layer,
                             std::span<const float> hidden,
                             std::span<const float> targets) {
  const size_t heads = layer.intercepts.size();
  const size_t rows = targets.size() / heads;
  const size_t width = hidden.size() / rows;
  std::vector<float> errors(targets.size());
  parallel_for(static_cast<int64_t>(heads), 1, [&](int64_t head) {
    const auto at = static_cast<size_t>(head);
    const std::span<float> out = std::span(errors).subspan(at * rows, rows);
    std::ranges::fill(out, layer.intercepts[at]);
    for (size_t unit = 0; unit < width; ++unit) {
      const float weight = layer.weights[at * width + unit];
      for (size_t i = 0; i < rows; ++i) out[i] += weight * hidden[unit * rows + i];
    }
    for (size_t i = 0; i < rows; ++i) out[i] -= targets[at * rows + i];
  });
  return errors;
}

/// The derivatives of the output layer, and those by W1 x + b1, which replace the slopes.
void go_back(const LinearFit& output,
             std::span<const float> errors,
             Activations& hidden,
             Mlp& gradient) {
  const size_t heads = output.intercepts.size();
  const size_t rows = errors.size() / heads;
  const auto width = static_cast<int64_t>(hidden.values.size() / rows);
  const float scale = 2.0f / static_cast<float>(errors.size());
  gradient.output.weights.resize(output.weights.size());
  gradient.output.intercepts.resize(heads);
  gradient.hidden.intercepts.resize(static_cast<size_t>(width));
  const auto of_head = [&](size_t head) { return errors.subspan(head * rows, rows); };
  for (size_t head = 0; head < heads; ++head) {
    gradient.output.intercepts[head] = scale * sum(of_head(head));
  }
  parallel_for(width, kUnits, [&](int64_t index) {
    const auto unit = static_cast<size_t>(index);
    const auto units = static_cast<size_t>(width);
    const std::span<const float> values = std::span(hidden.values).subspan(unit * rows, rows);
    const std::span<float> slopes = std::span(hidden.slopes).subspan(unit * rows, rows);
    std::vector<float> asked(rows);
    for (size_t head = 0; head < heads; ++head) {
      gradient.output.weights[head * units + unit] = scale * dot(of_head(head), values);
      const float weight = scale * output.weights[head * units + unit];
      for (size_t i = 0; i < rows; ++i) asked[i] += weight * of_head(head)[i];
    }
    for (size_t i = 0; i < rows; ++i) slopes[i] *= asked[i];
    gradient.hidden.intercepts[unit] = sum(slopes);
  });
}

}  // namespace

kernels::PackedMatrix packed_rows(std::span<const float> values, int64_t rows, int64_t columns) {
  kernels::PackedMatrix matrix(kernels::WeightFormat::f32, rows, columns);
  parallel_for(matrix.panels(), 1, [&](int64_t panel) {
    const int64_t first = panel * kernels::kPanelRows;
    const int64_t count = std::min(kernels::kPanelRows, rows - first);
    matrix.set_panel_rows(
        panel,
        0,
        count,
        values.subspan(static_cast<size_t>(first * columns), static_cast<size_t>(count * columns)));
  });
  return matrix;
}

MlpBatch::MlpBatch(std::span<const float> x, std::span<const float> y, int64_t columns) {
  const int64_t rows = std::ssize(x) / columns;
  ensure(rows > 0 && std::ssize(x) == rows * columns && std::ssize(y) % rows == 0, "whole rows");
  inputs_ = packed_rows(x, rows, columns);
  transposed_ = packed_rows(transposed(x, rows, columns), columns, rows);
  targets_ = transposed(y, rows, std::ssize(y) / rows);
}

double mlp_error(const Mlp& mlp, const MlpBatch& batch, Mlp* gradient) {
  ensure(std::ssize(mlp.hidden.weights) == std::ssize(mlp.hidden.intercepts) * batch.columns(),
         "a hidden layer for these inputs");
  Activations hidden = activate(mlp.hidden, batch.inputs_, gradient != nullptr);
  const std::vector<float> errors = errors_of(mlp.output, hidden.values, batch.targets_);
  double squares = 0;
  for (const float error : errors) squares += static_cast<double>(error) * error;
  if (gradient != nullptr) {
    go_back(mlp.output, errors, hidden, *gradient);
    gradient->hidden.weights.resize(mlp.hidden.weights.size());
    kernels::matmul({.weights = batch.transposed_,
                     .x = hidden.slopes,
                     .out = gradient->hidden.weights,
                     .rows = std::ssize(mlp.hidden.intercepts),
                     .out_columns = batch.columns(),
                     .compute = kernels::Compute::f32});
  }
  return squares / static_cast<double>(errors.size());
}

}  // namespace dms::llm
