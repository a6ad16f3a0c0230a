#pragma once
// out = x * W^T with packed weights, for one row (decode) or many (prefill).
//
// Each output element is one chain of additions over the columns in ascending order, in float32,
// whatever the number of rows, the ISA's tile or the number of threads: a row's result is
// bit-identical alone and in any batch. Of quantised weights and activations, a link of the chain
// is a group of columns, whose dot product is exact (quantised_tile.h). What that promises for
// chunks of a sequence, and what it does not: docs/decisions/0004-one-chain-per-output.md.

#include <cstdint>
#include <span>

#include "kernels/packed_matrix.h"

namespace dms::kernels {

enum class Compute {
  f32,   // activations stay float32
  bf16,  // activations are rounded to bf16; products are summed in float32. bf16 weights only
  int8,  // activations are rounded to int8 by group (quantised_tile.h) where the weights are
         // quantised, to bf16 where they are bf16
};

enum class Epilogue {
  store,       // out = y
  accumulate,  // out += y (residual)
  silu_gate,   // out = silu(y_gate) * y_up, see gated layout below
  gelu_gate,
  gelu_tanh_gate,
  relu_gate,
};

/// Gated layout: each panel holds 16 gate rows, then the 16 up rows of the same outputs, so that
/// the product is finished in registers; W has 2 * ffn rows (ffn padded to a multiple of 16), out
/// has ffn columns.
struct MatmulArgs {
  const PackedMatrix& weights;    // [n, k]
  std::span<const float> x;       // [rows, k]
  std::span<float> out;           // [rows, n], or [rows, ffn] for a gated epilogue
  std::span<const float> bias{};  // [n] in packed row order, or empty; added before the epilogue
  int64_t rows = 1;
  int64_t out_columns = 0;  // row stride and width of out
  Compute compute = Compute::bf16;
  Epilogue epilogue = Epilogue::store;
};

/// Uses the caller's threads (base/threads.h). Throws std::logic_error on a shape mismatch.
void matmul(const MatmulArgs& args);

}  // namespace dms::kernels
