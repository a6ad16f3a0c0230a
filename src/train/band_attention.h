#pragma once
// Causal attention within a band, by the library's fused kernels, forward and backward by hand: the
// backward takes the output and log-sum-exp of a larger whole that the band is a part of.

#include <cstdint>
#include <limits>

#include "train/torch.h"

namespace dms::train {

constexpr int64_t kAllKeys = std::numeric_limits<int64_t>::max();

/// All of one type and device.
struct AttentionInputs {
  at::Tensor q;  // [batch, q_heads, tokens, head_dim]
  at::Tensor k;  // [batch, kv_heads, tokens, head_dim]
  at::Tensor v;  // like k
};

struct AttentionOutputs {
  at::Tensor out;  // like q
  at::Tensor lse;  // [batch, q_heads, tokens], float32 (float64 for float64)
};

/// Like the inputs.
struct AttentionGradients {
  at::Tensor q;
  at::Tensor k;
  at::Tensor v;
};

/// Keys with 0 <= t - i <= reach; kAllKeys: all up to the query's own.
AttentionOutputs band_forward(const AttentionInputs& in, int64_t reach, double scale);

/// The band's share of the gradients, when `whole` is the output and log-sum-exp over all keys that
/// its queries see, in this band or out of it. `grad` is that of whole.out.
AttentionGradients band_backward(const at::Tensor& grad,
                                 const AttentionInputs& in,
                                 const AttentionOutputs& whole,
                                 int64_t reach,
                                 double scale);

}  // namespace dms::train
