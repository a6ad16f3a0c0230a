// Falcon: LayerNorm, q, k and v in one tensor. 7B has one KV head and one norm for attention and
// MLP side by side, 40B groups of query heads and mostly a norm for each, RW one after the other.

#include <array>

#include "base/dtype.h"
#include "model/spec/families/alibi.h"
#include "model/spec/families/classic.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

// Falcon names its norms by their number: one or two of a parallel layer, or one before each half.
struct NormNames {
  std::string_view attention;
  std::string_view attention_bias;
  std::string_view mlp;
  std::string_view mlp_bias;
};

constexpr auto names_with(const NormNames& norms) {
  return std::array{
      WeightPattern{embedding, "transformer.word_embeddings.weight"},
      WeightPattern{attention_norm, norms.attention},
      WeightPattern{attention_norm_bias, norms.attention_bias},
      WeightPattern{qkv, "transformer.h.{}.self_attention.query_key_value.weight"},
      WeightPattern{qkv_bias, "transformer.h.{}.self_attention.query_key_value.bias"},
      WeightPattern{attention_output, "transformer.h.{}.self_attention.dense.weight"},
      WeightPattern{attention_output_bias, "transformer.h.{}.self_attention.dense.bias"},
      WeightPattern{dms_alpha_norm, "transformer.h.{}.self_attention.dms_proj_alpha_norm.weight"},
      WeightPattern{dms_alpha, "transformer.h.{}.self_attention.dms_proj_alpha.weight"},
      WeightPattern{dms_alpha_bias, "transformer.h.{}.self_attention.dms_proj_alpha.bias"},
      WeightPattern{mlp_norm, norms.mlp},
      WeightPattern{mlp_norm_bias, norms.mlp_bias},
      WeightPattern{up, "transformer.h.{}.mlp.dense_h_to_4h.weight"},
      WeightPattern{up_bias, "transformer.h.{}.mlp.dense_h_to_4h.bias"},
      WeightPattern{down, "transformer.h.{}.mlp.dense_4h_to_h.weight"},
      WeightPattern{down_bias, "transformer.h.{}.mlp.dense_4h_to_h.bias"},
      WeightPattern{final_norm, "transformer.ln_f.weight"},
      WeightPattern{final_norm_bias, "transformer.ln_f.bias"},
      WeightPattern{head, "lm_head.weight"},
  };
}

constexpr std::array kNames =
    names_with({.attention = "transformer.h.{}.input_layernorm.weight",
                .attention_bias = "transformer.h.{}.input_layernorm.bias",
                .mlp = "transformer.h.{}.post_attention_layernorm.weight",
                .mlp_bias = "transformer.h.{}.post_attention_layernorm.bias"});
constexpr std::array kTwoNormNames = names_with({.attention = "transformer.h.{}.ln_attn.weight",
                                                 .attention_bias = "transformer.h.{}.ln_attn.bias",
                                                 .mlp = "transformer.h.{}.ln_mlp.weight",
                                                 .mlp_bias = "transformer.h.{}.ln_mlp.bias"});

/// new_decoder_architecture: 40B and what came after it.
void read_grouped(const JsonFields& config, ModelSpec& spec) {
  spec.kv_heads = config.integer_or("num_kv_heads", spec.q_heads, 1, kMaxHeads);
  check_groups(config, "num_kv_heads", spec);
  spec.qkv_layout = QkvLayout::per_group;
  spec.parallel_residual = true;
  spec.shared_norm = config.integer_or("num_ln_in_parallel_attn", 2, 1, 2) == 1;
  if (!spec.shared_norm) spec.weight_patterns = kTwoNormNames;
}

void read_first(const JsonFields& config, ModelSpec& spec) {
  const bool one_kv_head = config.boolean_or("multi_query", true);
  if (one_kv_head) spec.kv_heads = 1;
  spec.qkv_layout = one_kv_head ? QkvLayout::per_group : QkvLayout::per_head;
  spec.parallel_residual = config.boolean_or("parallel_attn", true);
  spec.shared_norm = spec.parallel_residual;
}

/// Slopes, and what they make of positions, are in bf16: what the models were trained with.
void read_alibi(ModelSpec& spec) {
  spec.position = PositionKind::alibi;
  spec.alibi_in_bf16 = true;
  for (const double slope : falcon_slopes(spec.q_heads)) {
    spec.alibi_slopes.push_back(to_float(to_bf16(static_cast<float>(slope))));
  }
}

}  // namespace

ModelSpec make_falcon(const JsonFields& config) {
  ModelSpec spec = classic(config, {.norm_eps = "layer_norm_epsilon", .tied_head = true});
  spec.ffn = config.integer_or("ffn_hidden_size", 4 * spec.hidden, 1, kMaxWidth);
  spec.activation = read_activation(config, "activation", "gelu");
  spec.qkv_bias = config.boolean_or("bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = spec.qkv_bias;
  spec.weight_patterns = kNames;
  if (config.boolean_or("new_decoder_architecture", false)) {
    read_grouped(config, spec);
  } else {
    read_first(config, spec);
  }
  if (config.boolean_or("alibi", false)) {
    read_alibi(spec);
  } else {
    read_rope(config, spec);
  }
  return spec;
}

}  // namespace dms::families
