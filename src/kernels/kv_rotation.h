#pragma once
// The rotation of a head behind the formats that take its channels for normal variables: with
// random signs and a Hadamard matrix every channel becomes a sum over many, so that outliers spread
// (QuIP#, QuaRot). Inner products stay: keys are scored by rotated queries, values are summed as
// they lie and the sum is turned back.
//
// For p, the largest power of two up to the head's size n, it multiplies channels [0, p) by fixed
// signs and the orthonormal Hadamard matrix, and where p < n does the same to channels [n - p, n).

#include <cstdint>

namespace dms::kernels {

/// x: [head_dim]. The same bits on every instruction set.
void rotate_head(float* x, int64_t head_dim);
/// The inverse.
void turn_head_back(float* x, int64_t head_dim);

}  // namespace dms::kernels
