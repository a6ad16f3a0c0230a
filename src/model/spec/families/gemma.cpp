// Gemma 2 and 3 (text): Llama with norms around each sub-layer whose weights count from one, scaled
// embeddings, GELU, and layers with and without a sliding window in turn. Gemma 2 caps scores and
// logits; Gemma 3 norms q and k, and its layers with a window turn otherwise.

#include <array>
#include <cmath>

#include "dms/error.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

constexpr std::array kNames{
    WeightPattern{embedding, "model.embed_tokens.weight"},
    WeightPattern{attention_norm, "model.layers.{}.input_layernorm.weight"},
    WeightPattern{q, "model.layers.{}.self_attn.q_proj.weight"},
    WeightPattern{q_bias, "model.layers.{}.self_attn.q_proj.bias"},
    WeightPattern{k, "model.layers.{}.self_attn.k_proj.weight"},
    WeightPattern{k_bias, "model.layers.{}.self_attn.k_proj.bias"},
    WeightPattern{v, "model.layers.{}.self_attn.v_proj.weight"},
    WeightPattern{v_bias, "model.layers.{}.self_attn.v_proj.bias"},
    WeightPattern{q_norm, "model.layers.{}.self_attn.q_norm.weight"},
    WeightPattern{k_norm, "model.layers.{}.self_attn.k_norm.weight"},
    WeightPattern{attention_output, "model.layers.{}.self_attn.o_proj.weight"},
    WeightPattern{attention_output_bias, "model.layers.{}.self_attn.o_proj.bias"},
    WeightPattern{dms_alpha_norm, "model.layers.{}.self_attn.dms_proj_alpha_norm.weight"},
    WeightPattern{dms_alpha, "model.layers.{}.self_attn.dms_proj_alpha.weight"},
    WeightPattern{dms_alpha_bias, "model.layers.{}.self_attn.dms_proj_alpha.bias"},
    WeightPattern{attention_post_norm, "model.layers.{}.post_attention_layernorm.weight"},
    WeightPattern{mlp_norm, "model.layers.{}.pre_feedforward_layernorm.weight"},
    WeightPattern{gate, "model.layers.{}.mlp.gate_proj.weight"},
    WeightPattern{up, "model.layers.{}.mlp.up_proj.weight"},
    WeightPattern{down, "model.layers.{}.mlp.down_proj.weight"},
    WeightPattern{mlp_post_norm, "model.layers.{}.post_feedforward_layernorm.weight"},
    WeightPattern{final_norm, "model.norm.weight"},
    WeightPattern{head, "lm_head.weight"},
};

constexpr int64_t kDefaultWindow = 4096;
constexpr int64_t kDefaultKvHeads = 4;
constexpr int64_t kDefaultHeadDim = 256;
constexpr double kDefaultQueryScalar = 256.0;
constexpr double kMinCap = 1e-3;
constexpr double kMaxCap = 1e6;

/// What an absent key and what null means differ here.
double soft_cap(const JsonFields& config, const char* key, double absent) {
  if (config.has(key)) return config.number(key, kMinCap, kMaxCap);
  return config.is_null(key) ? 0.0 : absent;
}

/// `pattern`: every so many layers one has no window.
void read_windows(const JsonFields& config, int64_t pattern, ModelSpec& spec) {
  if (config.is_null("sliding_window")) {
    throw InputError({.where = config.where() + ": sliding_window",
                      .what = "bad value",
                      .got = "null",
                      .expected = "the length of the layers' windows"});
  }
  const int64_t window = config.integer_or("sliding_window", kDefaultWindow, 1, kMaxWindow);
  spec.sliding_window = layer_windows(
      config, spec.layers, window, [&](int64_t layer) { return (layer + 1) % pattern != 0; });
}

ModelSpec gemma_like(const JsonFields& config, int64_t context, const RopeKeys& rope) {
  ModelSpec spec = llama_like(config,
                              {.context = context,
                               .kv_heads = kDefaultKvHeads,
                               .head_dim = kDefaultHeadDim,
                               .tied_head = true,
                               .activation_key = "hidden_activation",
                               .activation = "gelu_pytorch_tanh",
                               .rope = rope});
  if (config.boolean_or("use_bidirectional_attention", false)) {
    throw InputError({.where = config.where() + ": use_bidirectional_attention",
                      .what = "attention to later tokens is not supported",
                      .got = "true",
                      .expected = "false"});
  }
  spec.norm_offset = 1.0;
  spec.post_norms = true;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
  spec.attention_scale =
      1.0 / std::sqrt(config.number_or("query_pre_attn_scalar", kDefaultQueryScalar, 1e-6, 1e9));
  spec.qkv_bias = config.boolean_or("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.weight_patterns = kNames;
  return spec;
}

}  // namespace

ModelSpec make_gemma2(const JsonFields& config) {
  ModelSpec spec = gemma_like(config, 8192, {});
  spec.attention_soft_cap = soft_cap(config, "attn_logit_softcapping", 50.0);
  spec.logit_soft_cap = soft_cap(config, "final_logit_softcapping", 30.0);
  read_windows(config, 2, spec);
  return spec;
}

ModelSpec make_gemma3(const JsonFields& config) {
  ModelSpec spec = gemma_like(config, 131072, {.default_theta = 1e6, .default_local_theta = 1e4});
  // transformers reads it and does not apply it.
  if (config.has("attn_logit_softcapping")) {
    throw InputError({.where = config.where() + ": attn_logit_softcapping",
                      .what = "Gemma 3 does not cap its scores",
                      .got = quote_json(*config.find("attn_logit_softcapping")),
                      .expected = "null"});
  }
  spec.logit_soft_cap = soft_cap(config, "final_logit_softcapping", 0.0);
  spec.qk_norm = true;
  read_windows(config, config.integer_or("sliding_window_pattern", 6, 1, int64_t{1} << 30), spec);
  return spec;
}

}  // namespace dms::families
