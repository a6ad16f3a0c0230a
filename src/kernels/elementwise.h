#pragma once
// Small row operations of the decoder.

#include <span>

namespace dms::kernels {

enum class UnaryOp { silu, gelu, gelu_tanh, relu };

/// x = op(x)
void apply(UnaryOp op, std::span<float> x);

/// x = cap * tanh(x / cap), cap positive.
void soft_cap(float cap, std::span<float> x);

/// Sum of products in 32 interleaved float32 chains of ascending index, added pairwise at the end:
/// the same bits whatever the ISA, batch or thread (eviction decisions depend on it).
float dot_fixed_order(std::span<const float> a, std::span<const float> b);

}  // namespace dms::kernels
