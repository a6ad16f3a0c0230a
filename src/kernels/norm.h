#pragma once
// Row-wise normalisation, in float32 with a fixed order of summation.

#include <cstdint>
#include <span>

namespace dms::kernels {

/// out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight. x and out [rows, columns], may be the same.
void rms_norm(std::span<const float> x,
              std::span<const float> weight,  // [columns]
              float eps,
              std::span<float> out);

/// out[r] = (x[r] - mean) / sqrt(variance + eps) * weight + bias. `bias` may be empty.
void layer_norm(std::span<const float> x,
                std::span<const float> weight,
                std::span<const float> bias,
                float eps,
                std::span<float> out);

}  // namespace dms::kernels
