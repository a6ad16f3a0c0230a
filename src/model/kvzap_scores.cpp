#include "model/kvzap_scores.h"

#include <vector>

#include "base/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace dms::model {
namespace {

/// GELU(W1 x + b1), [rows, width].
std::vector<float> hidden_layer(const KvzapWeights& weights,
                                std::span<const float> x,
                                int64_t rows) {
  const int64_t width = weights.hidden.rows();
  std::vector<float> hidden(static_cast<size_t>(rows * width));
  kernels::matmul({.weights = weights.hidden,
                   .x = x,
                   .out = hidden,
                   .bias = weights.hidden_bias,
                   .rows = rows,
                   .out_columns = width,
                   .compute = kernels::Compute::f32});
  parallel_for(rows, 16, [&](int64_t row) {
    kernels::apply(
        kernels::UnaryOp::gelu,
        std::span(hidden).subspan(static_cast<size_t>(row * width), static_cast<size_t>(width)));
  });
  return hidden;
}

}  // namespace

void kvzap_scores(const KvzapWeights& weights,
                  std::span<const float> x,
                  int64_t rows,
                  std::span<float> scores) {
  std::vector<float> hidden;
  if (weights.hidden.rows() > 0) {
    hidden = hidden_layer(weights, x, rows);
    x = hidden;
  }
  const size_t heads = weights.bias.size();
  const size_t width = weights.scores.size() / heads;
  parallel_for(rows, 16, [&](int64_t row) {
    const auto at = static_cast<size_t>(row);
    const std::span<const float> input = x.subspan(at * width, width);
    for (size_t head = 0; head < heads; ++head) {
      const std::span<const float> weight = std::span(weights.scores).subspan(head * width, width);
      scores[at * heads + head] = kernels::dot_fixed_order(input, weight) + weights.bias[head];
    }
  });
}

}  // namespace dms::model
