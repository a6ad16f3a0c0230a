#pragma once
// Rotary position embedding, "rotate half": channel i turns with channel i + rotary_dim / 2.

#include <cstdint>
#include <span>

namespace dms::kernels {

/// Rotates the first 2 * cos.size() channels of each head of one token in place.
/// heads: [count, head_dim]; cos, sin: [rotary_dim / 2] for the token's position.
void rope(std::span<float> heads,
          int64_t head_dim,
          std::span<const float> cos,
          std::span<const float> sin);

}  // namespace dms::kernels
