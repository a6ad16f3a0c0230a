#pragma once
// A small network, W2 GELU(W1 x + b1) + b2 with the exact GELU, and how its error over some rows
// changes with its numbers: what a fit by descent asks for. Float32. Each number is one chain of
// additions whose order depends on nothing but the shapes, so that a fit does not depend on the
// number of threads.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/packed_matrix.h"
#include "llm/ridge.h"

namespace dms::llm {

/// Also the shape of its gradient. Without a hidden layer: linear.
struct Mlp {
  LinearFit hidden;  // W1 [width, columns], b1 [width]
  LinearFit output;  // W2 [targets, width], b2 [targets]
};

/// Float32 [rows, columns] as a product's weights. Uses the caller's threads.
kernels::PackedMatrix packed_rows(std::span<const float> values, int64_t rows, int64_t columns);

/// Rows of inputs and targets, laid out for the products.
class MlpBatch {
 public:
  /// `x`: [rows, columns], `y`: [rows, targets]; at least one row. Uses the caller's threads.
  MlpBatch(std::span<const float> x, std::span<const float> y, int64_t columns);

  int64_t rows() const { return inputs_.rows(); }
  int64_t columns() const { return inputs_.columns(); }

 private:
  friend double mlp_error(const Mlp& mlp, const MlpBatch& batch, Mlp* gradient);

  kernels::PackedMatrix inputs_;      // [rows, columns]
  kernels::PackedMatrix transposed_;  // [columns, rows]
  std::vector<float> targets_;        // [targets, rows]
};

/// Mean squared error over rows and targets. `gradient`, where it is wanted, is overwritten with
/// the error's derivatives, in `mlp`'s shape. Uses the caller's threads.
double mlp_error(const Mlp& mlp, const MlpBatch& batch, Mlp* gradient);

}  // namespace dms::llm
