// Phi-3, 3.5 and 4 (dense ones): Llama with q, k and v in one tensor, gate and up in another, and
// LongRoPE for long contexts.

#include <array>

#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

constexpr std::array kNames{
    WeightPattern{embedding, "model.embed_tokens.weight"},
    WeightPattern{attention_norm, "model.layers.{}.input_layernorm.weight"},
    WeightPattern{qkv, "model.layers.{}.self_attn.qkv_proj.weight"},
    WeightPattern{attention_output, "model.layers.{}.self_attn.o_proj.weight"},
    WeightPattern{dms_alpha_norm, "model.layers.{}.self_attn.dms_proj_alpha_norm.weight"},
    WeightPattern{dms_alpha, "model.layers.{}.self_attn.dms_proj_alpha.weight"},
    WeightPattern{dms_alpha_bias, "model.layers.{}.self_attn.dms_proj_alpha.bias"},
    WeightPattern{mlp_norm, "model.layers.{}.post_attention_layernorm.weight"},
    WeightPattern{gate_up, "model.layers.{}.mlp.gate_up_proj.weight"},
    WeightPattern{down, "model.layers.{}.mlp.down_proj.weight"},
    WeightPattern{final_norm, "model.norm.weight"},
    WeightPattern{head, "lm_head.weight"},
};

constexpr int64_t kDefaultContext = 4096;

}  // namespace

ModelSpec make_phi3(const JsonFields& config) {
  ModelSpec spec = llama_like(config,
                              {.context = kDefaultContext,
                               .norm_eps = 1e-5,
                               .rope = {.partial_factor = "partial_rotary_factor",
                                        .default_original_context = kDefaultContext}});
  spec.qkv_layout = QkvLayout::concatenated;
  spec.fused_gate_up = true;
  if (config.has("sliding_window")) {
    const int64_t window = config.integer("sliding_window", 1, kMaxWindow);
    spec.sliding_window.assign(static_cast<size_t>(spec.layers), window);
  }
  spec.weight_patterns = kNames;
  return spec;
}

}  // namespace dms::families
