#pragma once
// The decoder's element-wise steps as autograd functions that keep only what their backward needs:
// composed from library operations they would hold several copies of every activation.

#include "train/torch.h"

namespace dms::train {

/// RMSNorm over the last dimension, computed in float32 (float64 for float64), returned in x's
/// type. x [..., channels], weight [channels] of any floating type.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// silu(gate) * up, shapes alike.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// Rotates channels i and i + rotary_dim / 2 of the first rotary_dim channels. x [batch, heads,
/// tokens, head_dim]; cos and sin [tokens, rotary_dim / 2] in float32 or wider.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

/// The type sums over `x` are computed in: float64 for float64, else float32.
at::ScalarType wide_type(const at::Tensor& x);

}  // namespace dms::train
