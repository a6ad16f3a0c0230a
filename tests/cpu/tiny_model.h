#pragma once
// Small random models in memory, and sequences of them that go forward, back and apart by the
// engine.

#include <array>
#include <memory>
#include <random>
#include <vector>

#include "cpu/cpu_model.h"
#include "engine/engine.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"

namespace dms::cpu {

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
  std::optional<KvzapSpec> kvzap{};
  void (*change)(ModelSpec& spec) = nullptr;  // to another structure
};

/// A name for every weight that a spec may ask for.
inline constexpr std::array kEveryWeight{
    WeightPattern{WeightRole::embedding, "embedding"},
    WeightPattern{WeightRole::embedding_projection, "embedding_projection"},
    WeightPattern{WeightRole::position_embedding, "position_embedding"},
    WeightPattern{WeightRole::attention_norm, "{}.attention_norm"},
    WeightPattern{WeightRole::attention_norm_bias, "{}.attention_norm_bias"},
    WeightPattern{WeightRole::q, "{}.q"},
    WeightPattern{WeightRole::k, "{}.k"},
    WeightPattern{WeightRole::v, "{}.v"},
    WeightPattern{WeightRole::qkv, "{}.qkv"},
    WeightPattern{WeightRole::q_bias, "{}.q_bias"},
    WeightPattern{WeightRole::k_bias, "{}.k_bias"},
    WeightPattern{WeightRole::v_bias, "{}.v_bias"},
    WeightPattern{WeightRole::qkv_bias, "{}.qkv_bias"},
    WeightPattern{WeightRole::q_norm, "{}.q_norm"},
    WeightPattern{WeightRole::k_norm, "{}.k_norm"},
    WeightPattern{WeightRole::attention_output, "{}.attention_output"},
    WeightPattern{WeightRole::attention_output_bias, "{}.attention_output_bias"},
    WeightPattern{WeightRole::dms_alpha_norm, "{}.dms_alpha_norm"},
    WeightPattern{WeightRole::dms_alpha, "{}.dms_alpha"},
    WeightPattern{WeightRole::dms_alpha_bias, "{}.dms_alpha_bias"},
    WeightPattern{WeightRole::attention_post_norm, "{}.attention_post_norm"},
    WeightPattern{WeightRole::mlp_norm, "{}.mlp_norm"},
    WeightPattern{WeightRole::mlp_norm_bias, "{}.mlp_norm_bias"},
    WeightPattern{WeightRole::gate_up, "{}.gate_up"},
    WeightPattern{WeightRole::gate, "{}.gate"},
    WeightPattern{WeightRole::up, "{}.up"},
    WeightPattern{WeightRole::down, "{}.down"},
    WeightPattern{WeightRole::gate_bias, "{}.gate_bias"},
    WeightPattern{WeightRole::up_bias, "{}.up_bias"},
    WeightPattern{WeightRole::down_bias, "{}.down_bias"},
    WeightPattern{WeightRole::mlp_post_norm, "{}.mlp_post_norm"},
    WeightPattern{WeightRole::final_norm, "final_norm"},
    WeightPattern{WeightRole::final_norm_bias, "final_norm_bias"},
    WeightPattern{WeightRole::head_projection, "head_projection"},
    WeightPattern{WeightRole::head, "head"},
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
  spec.kvzap = shape.kvzap;
  if (shape.change == nullptr) return spec;
  spec.weight_patterns = kEveryWeight;
  shape.change(spec);
  return spec;
}

/// For prompts of several chunks.
inline ReplayPrompt replay_words() {
  return {.whole = {1, 2, 3}, .part = {4, 5}, .answer = {6}, .chunk = 40};
}

inline CpuModel tiny_model(const ModelSpec& spec,
                           const WeightSource& weights,
                           DType type = DType::f32,
                           int64_t kv_memory_bytes = 0) {
  const auto format = type == DType::f32 ? kernels::WeightFormat::f32 : kernels::WeightFormat::bf16;
  return CpuModel(spec,
                  model::load_weights(spec, weights, {.format = format}),
                  {.dtype = type,
                   .weight_format = format,
                   .compute = type == DType::f32 ? kernels::Compute::f32 : kernels::Compute::bf16,
                   .kv_memory_bytes = kv_memory_bytes,
                   .replay_prompt = replay_words});
}

inline CpuModel tiny_model(const TinyShape& shape,
                           uint64_t seed,
                           DType type = DType::f32,
                           int64_t kv_memory_bytes = 0) {
  const ModelSpec spec = tiny_spec(shape);
  return tiny_model(spec, *random_weights(spec, seed), type, kv_memory_bytes);
}

/// One sequence, computed by an engine of its own.
class Line {
 public:
  Line(engine::Model& model, const CacheOptions& cache, int64_t chunk_tokens)
      : model_(&model), chunk_tokens_(chunk_tokens) {
    const auto plan = model.plan(cache);
    sequence_ = std::make_shared<engine::Sequence>(model.new_sequence(plan), plan->max_tokens());
  }

  Line(engine::Model& model, std::shared_ptr<engine::Sequence> sequence, int64_t chunk_tokens)
      : model_(&model), sequence_(std::move(sequence)), chunk_tokens_(chunk_tokens) {}

  int64_t tokens() const { return sequence_->tokens(); }
  std::vector<uint8_t> decisions() const { return sequence_->state().decisions(); }
  const std::shared_ptr<engine::Sequence>& sequence() const { return sequence_; }

  /// Throws RunError where memory ends.
  void append(std::span<const int32_t> ids, const engine::LogitSink& sink = {}) {
    engine::Engine engine(
        *model_, {}, {.chunk_tokens = chunk_tokens_, .max_step_tokens = chunk_tokens_});
    std::string error;
    engine.submit({.request = {.prompt = {ids.begin(), ids.end()},
                               .sampling = {.max_new_tokens = 0},
                               .sink =
                                   [&error](const Event& event) {
                                     const auto* end = std::get_if<FinishedEvent>(&event);
                                     if (end != nullptr) error = end->result.error;
                                   }},
                   .sequence = sequence_,
                   .prompt_logits = sink ? engine::LogitRows::all : engine::LogitRows::none,
                   .on_logits = sink});
    while (engine.step()) {
    }
    if (!error.empty()) throw RunError({.what = error});
  }

  /// What is lost is computed again, as by a session.
  void truncate(int64_t tokens) {
    sequence_->truncate(tokens);
    if (!sequence_->missing().empty()) append({});
  }

  Line fork() const {
    Line copy(*this);
    copy.sequence_ = sequence_->fork();
    return copy;
  }

 private:
  engine::Model* model_;
  std::shared_ptr<engine::Sequence> sequence_;
  int64_t chunk_tokens_;
};

inline std::vector<int32_t> random_ids(int64_t count, int64_t vocab, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

}  // namespace dms::cpu
