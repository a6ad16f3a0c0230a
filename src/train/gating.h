#pragma once
// From decision logits to training's soft eviction (semantics.md section 2).

#include <cstdint>

#include "model/spec/model_spec.h"
#include "train/torch.h"

namespace dms::train {

struct GateOptions {
  double tau = 0.1;
  int64_t shift = 1;           // 1: token i's fate is the decision of token i + 1
  int64_t sinks = 0;           // first tokens, which stay
  bool per_layer = false;      // KV head 0 decides for all
  bool soft_fraction = false;  // sigmoid(z), else straight-through 1[z > 0]
};

struct Gates {
  at::Tensor bias;       // [batch, kv_heads, tokens]: logsigmoid(-z), shifted: fate of token i
  at::Tensor decisions;  // [batch, kv_heads, tokens]: 1 = evict, unshifted, differentiable
};

/// logits and noise [batch, kv_heads, tokens], float32 or wider.
Gates gate(const at::Tensor& logits, const at::Tensor& noise, const GateOptions& options);

/// Hard decisions as training's gates would be without noise in the limit tau -> 0: bias is 0 or
/// the lowest score. For evaluation through the same attention.
Gates hard_gate(const at::Tensor& logits, const GateOptions& options);

/// Gumbel noise of one micro-batch, float32 [layers, batch, kv_heads, tokens], by the seed, the
/// optimiser step and `micro` = accumulation_step * world_size + rank only. A pair gives a - b,
/// `single` one sample.
at::Tensor gumbel_noise(const ModelSpec& spec,
                        int64_t batch,
                        int64_t tokens,
                        uint64_t seed,
                        int64_t step,
                        int64_t micro,
                        bool single);

}  // namespace dms::train
