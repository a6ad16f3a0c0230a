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
  at::Tensor hidden;          // [batch, tokens, columns of head()], after the final norm
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

  /// The head's weight, [vocab, hidden], or of narrow embeddings [vocab, embedding_dim].
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

  /// How heads turn; undefined where none do.
  struct Rotations {
    Angles all;
    Angles local;  // of layers with a sliding window, where they turn otherwise
  };
  struct Heads {
    at::Tensor q;  // [batch, heads, tokens, head_dim]
    at::Tensor k;
    at::Tensor v;
  };

  at::Tensor embed(const at::Tensor& ids) const;
  at::Tensor head_input(const at::Tensor& x) const;
  LayerOutput layer(int64_t index,
                    const at::Tensor& x,
                    const Rotations& turns,
                    const PassOptions& options) const;
  LayerOutput checkpointed(int64_t index,
                           const at::Tensor& x,
                           const Rotations& turns,
                           const PassOptions& options) const;
  Heads project(int64_t index, const at::Tensor& input) const;
  at::Tensor attend(int64_t index,
                    const at::Tensor& x,
                    const at::Tensor& input,
                    const Rotations& turns,
                    const PassOptions& options,
                    at::Tensor& decisions) const;
  at::Tensor mlp(int64_t index, const at::Tensor& input) const;
  at::Tensor decision_logits(int64_t index, const at::Tensor& x, const at::Tensor& q) const;
  Gates gates(int64_t index, const at::Tensor& logits, const PassOptions& options) const;
  at::Tensor norm(WeightRole weight, WeightRole bias, int64_t index, const at::Tensor& x) const;
  at::Tensor before(WeightRole weight, WeightRole bias, int64_t index, const at::Tensor& x) const;
  at::Tensor add_branch(WeightRole post_norm,
                        int64_t index,
                        const at::Tensor& x,
                        const at::Tensor& branch) const;
  at::Tensor after(WeightRole weight, WeightRole bias, int64_t index, const at::Tensor& x) const;
  at::Tensor linear(WeightRole weight, WeightRole bias, int64_t index, const at::Tensor& x) const;
  Angles angles(const RopeSpec& rope, int64_t tokens) const;
  Rotations rotations(int64_t tokens) const;
  at::ScalarType wide() const;

  ModelSpec spec_;
  Parameters parameters_;
};

}  // namespace dms::train
