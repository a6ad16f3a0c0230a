#pragma once
// A Llama-like decoder in float32, written from semantics.md: loops over vectors, one token at a
// time, all keys and values kept and evicted ones masked. Slow and obvious; the oracle of whatever
// computes the same with pages and kernels.

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "model/spec/weights.h"
#include "support/plain_policy.h"

namespace dms::testing_support {

using Floats = std::vector<float>;

/// One KV head's past.
struct PlainHead {
  Floats keys;                 // [tokens, head_dim] after RoPE
  Floats values;               // likewise
  std::vector<uint8_t> fates;  // 1: evicted; of the tokens whose fate is settled
};

/// One sequence's past.
struct PlainPast {
  int64_t tokens = 0;
  std::vector<std::vector<PlainHead>> layers;  // [layers][kv_heads]

  static PlainPast empty(const ModelSpec& spec);
  static int64_t token_bytes(const ModelSpec& spec);
};

class PlainDecoder {
 public:
  /// RMS norm, RoPE (plain or dynamic), a gated MLP with SiLU: fails on any other spec.
  PlainDecoder(ModelSpec spec, const WeightSource& source);

  const ModelSpec& spec() const { return spec_; }

  /// Appends a token to `past` and returns its last hidden state. Fates that are settled already
  /// stay as they are. `length`: what dynamic RoPE is fixed for.
  Floats append(int32_t id, int64_t length, const PlainPolicy& policy, PlainPast& past) const;
  /// Logits [vocab] of a hidden state.
  Floats logits(const Floats& hidden) const;

 private:
  /// Where in the sequence a token stands.
  struct Place {
    int64_t layer = 0;
    int64_t position = 0;
    int64_t length = 0;
  };

  const Floats& weight(WeightRole role, int64_t layer = -1) const;
  const Floats* find(WeightRole role, int64_t layer) const;
  Floats linear(WeightRole matrix, WeightRole bias, int64_t layer, const Floats& x) const;
  Floats normed(WeightRole scale, int64_t layer, const Floats& x) const;
  void norm_heads(WeightRole scale, int64_t layer, Floats& heads) const;
  void rotate(Floats& heads, int64_t position, int64_t length) const;
  Floats rotated_queries(Floats q, int64_t position, int64_t length) const;
  void zero_borrowed(Floats& q) const;
  Floats kvzap_scores(int64_t layer, Floats h) const;
  Floats decision_logits(int64_t layer, const Floats& x, const Floats& q) const;
  void settle(const Place& place,
              const Floats& logits,
              const PlainPolicy& policy,
              std::vector<PlainHead>& heads) const;
  void attend_head(int64_t q_head,
                   const Place& place,
                   const Floats& near,
                   const Floats& far,
                   const PlainPolicy& policy,
                   const PlainHead& head,
                   Floats& mixed) const;
  Floats attention(const Place& place,
                   const Floats& x,
                   const PlainPolicy& policy,
                   std::vector<PlainHead>& heads) const;
  Floats mlp(int64_t layer, const Floats& x) const;

  ModelSpec spec_;
  std::map<std::pair<WeightRole, int64_t>, Floats> weights_;
};

}  // namespace dms::testing_support
