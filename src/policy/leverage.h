#pragma once
// How far rows stand out from the space that all of them span: their statistical leverage, of a
// random sketch of the channels. As NVIDIA/kvpress's LeverageScorePress.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::policy {

/// x_i^T (X^T X + jitter I)^-1 x_i for rows [n, width], less their mean and multiplied by a
/// Gaussian matrix [width, sketch] with variance 1 / sketch that `seed` makes.
std::vector<float> leverage(std::span<const double> rows,
                            size_t width,
                            size_t sketch,
                            uint64_t seed);

}  // namespace dms::policy
