#pragma once
// Training attention of semantics.md section 2, forward and backward in memory linear in the
// length.
//
// The score of key i for query t gains bias[i] once t - i > window. So attention splits in two
// parts that the library's fused kernels compute: *near* (t - i <= window) is a band without bias,
// cut into blocks of queries; *far* is causal attention between the queries shifted by window + 1
// and keys whose head carries the bias in additional channels. Both are merged by their
// log-sum-exp. In the backward each part gets the merged output and log-sum-exp, with which its
// probabilities, and so its share of the gradients, are those of the whole.

#include <cstdint>

#include "train/torch.h"

namespace dms::train {

struct AttentionOptions {
  double scale = 1.0;          // multiplies q . k
  int64_t window = 0;          // with a bias: keys with t - i <= window are seen without it
  int64_t sliding_window = 0;  // keys a query sees at all, t - i < sliding_window; 0: all
};

/// q [batch, q_heads, tokens, head_dim], k and v [batch, kv_heads, tokens, head_dim], all of one
/// type; bias [batch, kv_heads, tokens], added to scores beyond the window, or undefined for plain
/// causal attention. Returns [batch, q_heads, tokens, head_dim]; differentiable in all inputs.
at::Tensor attention(const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     const at::Tensor& bias,
                     const AttentionOptions& options);

}  // namespace dms::train
