#pragma once
// The decoder in training: the mathematics of semantics.md on LibTorch, built from the same
// ModelSpec as the engine. Weights live in Parameters; this is the forward pass.

#include <cstdint>
#include <optional>

#include "model/spec/model_spec.h"
#include "train/gating.h"
#include "train/parameters.h"
#include "train/torch.h"

namespace dms::train {

/// How one forward pass treats eviction.
struct PassOptions {
  enum class Eviction {
    off,  // plain causal attention (a teacher; neuron: the borrowed channel is zeroed all the same)
    soft,  // training: noised gates bias the scores beyond the window
    hard,  // evaluation: decisions as at inference
  };
  Eviction eviction = Eviction::off;
  GateOptions gate;
  at::Tensor noise;  // soft: [layers, batch, kv_heads, tokens]
  at::Tensor
      forced;  // hard: fates [layers, kv_heads, tokens] to use instead (1: evicted, unshifted)
  double borrowed = 0.0;       // neuron: what is left of the borrowed channel (1: all, fading to 0)
  bool checkpointing = false;  // keep only each layer's input; recompute the rest in the backward
};

struct PassResult {
  at::Tensor hidden;          // [batch, tokens, hidden], after the final norm
  at::Tensor fraction;        // soft, hard: [batch], share of decisions that evict, differentiable
  at::Tensor layer_fraction;  // soft, hard: [layers, kv_heads], detached
};

class Student {
 public:
  /// Throws InputError for features of a spec that training does not compute.
  Student(ModelSpec spec, Parameters parameters);

  /// ids int64 [batch, tokens]; `lengths` int64 [batch]: tokens of each row that are not padding.
  PassResult forward(const at::Tensor& ids,
                     const at::Tensor& lengths,
                     const PassOptions& options) const;

  /// [rows, hidden] x the head's weight, [vocab, hidden].
  const at::Tensor& head() const;

  const ModelSpec& spec() const { return spec_; }
  at::Device device() const;
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  struct LayerOutput {
    at::Tensor hidden;
    at::Tensor decisions;  // [batch, kv_heads, tokens] or undefined
  };
  struct Angles {
    at::Tensor cos;  // [tokens, rotary_dim / 2]
    at::Tensor sin;
  };

  LayerOutput layer(int64_t index,
                    const at::Tensor& x,
                    const Angles& angles,
                    const PassOptions& options) const;
  LayerOutput checkpointed(int64_t index,
                           const at::Tensor& x,
                           const Angles& angles,
                           const PassOptions& options) const;
  at::Tensor attend(int64_t index,
                    const at::Tensor& x,
                    const Angles& angles,
                    const PassOptions& options,
                    at::Tensor& decisions) const;
  at::Tensor mlp(int64_t index, const at::Tensor& x) const;
  at::Tensor decision_logits(int64_t index, const at::Tensor& x, const at::Tensor& q) const;
  Gates gates(int64_t index, const at::Tensor& logits, const PassOptions& options) const;
  at::Tensor norm(WeightRole weight, int64_t index, const at::Tensor& x) const;
  at::Tensor linear(WeightRole weight, WeightRole bias, int64_t index, const at::Tensor& x) const;
  Angles angles(int64_t tokens) const;
  at::ScalarType wide() const;

  ModelSpec spec_;
  Parameters parameters_;
};

}  // namespace dms::train
