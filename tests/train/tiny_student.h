#pragma once
// Students small enough to differentiate by hand.

#include <optional>
#include <random>
#include <vector>

#include "model/spec/families/family.h"
#include "train/export/base_folder.h"
#include "train/student.h"

namespace dms::train::fixture {

using dms::testing_support::NoiseWeights;

struct TinyShape {
  int64_t layers = 2;
  int64_t kv_heads = 2;
  int64_t group = 2;
  int64_t sliding_window = 0;
  bool qk_norm = false;
  bool qkv_bias = false;
  bool tied_head = false;
  std::optional<DmsSpec> dms{};
};

inline ModelSpec tiny_spec(const TinyShape& shape) {
  ModelSpec spec;
  spec.model_type = "llama";
  spec.layers = shape.layers;
  spec.kv_heads = shape.kv_heads;
  spec.q_heads = shape.kv_heads * shape.group;
  spec.head_dim = 8;
  spec.hidden = 20;
  spec.ffn = 24;
  spec.vocab = 33;
  spec.context = 4096;
  spec.rope.rotary_dim = spec.head_dim;
  spec.qk_norm = shape.qk_norm;
  spec.qkv_bias = shape.qkv_bias;
  spec.tied_head = shape.tied_head;
  spec.weight_patterns = families::llama_weight_patterns();
  spec.sliding_window.assign(static_cast<size_t>(shape.layers), shape.sliding_window);
  spec.dms = shape.dms;
  spec.eos_ids = {2};
  return spec;
}

/// Every weight random, norms and biases too; all of them leaves.
inline Student tiny_student(const TinyShape& shape, at::ScalarType type, uint64_t seed = 1) {
  const ModelSpec spec = tiny_spec(shape);
  Parameters parameters(spec, NoiseWeights(seed), type);
  parameters.train({"all"});
  return Student(spec, std::move(parameters));
}

/// int64 [batch, tokens] within tiny_spec's vocabulary.
inline at::Tensor random_ids(int64_t batch, int64_t tokens, uint64_t seed) {
  std::mt19937_64 random(seed);
  at::Tensor ids = at::empty({batch, tokens}, at::kLong);
  auto* values = ids.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) values[i] = static_cast<int64_t>(random() % 33);
  return ids;
}

inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace dms::train::fixture
