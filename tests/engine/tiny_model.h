#pragma once
// Small random models in memory, for tests that need a whole decoder.

#include <memory>
#include <random>
#include <vector>

#include "engine/options.h"
#include "engine/sequence.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"

namespace dms::engine {

struct TinyShape {
  int64_t layers = 2;
  int64_t kv_heads = 2;
  int64_t group = 2;
  int64_t head_dim = 16;
  int64_t sliding_window = 0;
  int64_t dynamic_rope_context = 0;  // 0: no RoPE scaling
  bool qk_norm = false;
  bool qkv_bias = false;
  std::optional<DmsSpec> dms{};
};

inline ModelSpec tiny_spec(const TinyShape& shape) {
  ModelSpec spec;
  spec.model_type = "llama";
  spec.layers = shape.layers;
  spec.kv_heads = shape.kv_heads;
  spec.q_heads = shape.kv_heads * shape.group;
  spec.head_dim = shape.head_dim;
  spec.hidden = 40;
  spec.ffn = 56;
  spec.vocab = 71;
  spec.context = 4096;
  spec.rope.rotary_dim = shape.head_dim;
  if (shape.dynamic_rope_context > 0) {
    spec.rope.scaling = RopeScaling::dynamic;
    spec.rope.factor = 4.0;
    spec.rope.original_context = shape.dynamic_rope_context;
  }
  spec.qk_norm = shape.qk_norm;
  spec.qkv_bias = shape.qkv_bias;
  spec.tied_head = true;
  spec.weight_patterns = families::llama_weight_patterns();
  spec.sliding_window.assign(static_cast<size_t>(shape.layers), shape.sliding_window);
  spec.dms = shape.dms;
  return spec;
}

/// A model and everything a sequence of it needs. All its sequences share pools without a limit,
/// until the test sets one.
class TinyModel {
 public:
  TinyModel(const TinyShape& shape, uint64_t seed, DType type = DType::f32)
      : spec_(tiny_spec(shape)),
        options_{.dtype = type,
                 .weight_type = type,
                 .compute = type == DType::f32 ? kernels::Compute::f32 : kernels::Compute::bf16},
        model_(model::Decoder(spec_,
                              model::load_weights(spec_, *random_weights(spec_, seed), type),
                              options_.compute)),
        pools_(std::make_shared<cache::CachePools>(spec_.head_dim, 0)) {}

  const ModelSpec& spec() const { return spec_; }
  DecoderModel& model() { return model_; }
  cache::MemoryBudget& budget() { return pools_->budget(); }

  std::unique_ptr<Sequence> sequence(const CacheOptions& cache, int64_t chunk_tokens) {
    return std::make_unique<Sequence>(
        model_,
        std::make_unique<cache::SequenceCache>(
            cache_shape(spec_, options_, cache), pools_, make_fate_source(spec_, cache)),
        chunk_tokens);
  }

 private:
  ModelSpec spec_;
  ResolvedModelOptions options_;
  DecoderModel model_;
  std::shared_ptr<cache::CachePools> pools_;
};

inline std::vector<int32_t> random_ids(int64_t count, int64_t vocab, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

}  // namespace dms::engine
