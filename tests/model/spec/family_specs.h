#pragma once
// Specs of families that have no file under src/model/spec/families yet: what the spec must be able
// to say. Sizes are those of tests/python/goldens/family_weights.json.

#include <array>
#include <string_view>
#include <vector>

#include "model/spec/model_spec.h"

namespace dms::testing_support {

using enum WeightRole;

constexpr std::array kGptNeoxNames{
    WeightPattern{embedding, "gpt_neox.embed_in.weight"},
    WeightPattern{attention_norm, "gpt_neox.layers.{}.input_layernorm.weight"},
    WeightPattern{attention_norm_bias, "gpt_neox.layers.{}.input_layernorm.bias"},
    WeightPattern{qkv, "gpt_neox.layers.{}.attention.query_key_value.weight"},
    WeightPattern{qkv_bias, "gpt_neox.layers.{}.attention.query_key_value.bias"},
    WeightPattern{attention_output, "gpt_neox.layers.{}.attention.dense.weight"},
    WeightPattern{attention_output_bias, "gpt_neox.layers.{}.attention.dense.bias"},
    WeightPattern{mlp_norm, "gpt_neox.layers.{}.post_attention_layernorm.weight"},
    WeightPattern{mlp_norm_bias, "gpt_neox.layers.{}.post_attention_layernorm.bias"},
    WeightPattern{up, "gpt_neox.layers.{}.mlp.dense_h_to_4h.weight"},
    WeightPattern{up_bias, "gpt_neox.layers.{}.mlp.dense_h_to_4h.bias"},
    WeightPattern{down, "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight"},
    WeightPattern{down_bias, "gpt_neox.layers.{}.mlp.dense_4h_to_h.bias"},
    WeightPattern{final_norm, "gpt_neox.final_layer_norm.weight"},
    WeightPattern{final_norm_bias, "gpt_neox.final_layer_norm.bias"},
    WeightPattern{head, "embed_out.weight"},
};

// Falcon names its norms by their number: one or two of a parallel layer, or one before each half.
struct FalconNorms {
  std::string_view attention;
  std::string_view attention_bias;
  std::string_view mlp;
  std::string_view mlp_bias;
};

constexpr auto falcon_names(const FalconNorms& norms) {
  return std::array{
      WeightPattern{embedding, "transformer.word_embeddings.weight"},
      WeightPattern{attention_norm, norms.attention},
      WeightPattern{attention_norm_bias, norms.attention_bias},
      WeightPattern{qkv, "transformer.h.{}.self_attention.query_key_value.weight"},
      WeightPattern{qkv_bias, "transformer.h.{}.self_attention.query_key_value.bias"},
      WeightPattern{attention_output, "transformer.h.{}.self_attention.dense.weight"},
      WeightPattern{attention_output_bias, "transformer.h.{}.self_attention.dense.bias"},
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

constexpr std::array kFalconNames =
    falcon_names({.attention = "transformer.h.{}.input_layernorm.weight",
                  .attention_bias = "transformer.h.{}.input_layernorm.bias",
                  .mlp = "transformer.h.{}.post_attention_layernorm.weight",
                  .mlp_bias = "transformer.h.{}.post_attention_layernorm.bias"});
constexpr std::array kFalconTwoNormNames =
    falcon_names({.attention = "transformer.h.{}.ln_attn.weight",
                  .attention_bias = "transformer.h.{}.ln_attn.bias",
                  .mlp = "transformer.h.{}.ln_mlp.weight",
                  .mlp_bias = "transformer.h.{}.ln_mlp.bias"});

constexpr std::array kMptNames{
    WeightPattern{embedding, "transformer.wte.weight"},
    WeightPattern{attention_norm, "transformer.blocks.{}.norm_1.weight"},
    WeightPattern{qkv, "transformer.blocks.{}.attn.Wqkv.weight"},
    WeightPattern{attention_output, "transformer.blocks.{}.attn.out_proj.weight"},
    WeightPattern{mlp_norm, "transformer.blocks.{}.norm_2.weight"},
    WeightPattern{up, "transformer.blocks.{}.ffn.up_proj.weight"},
    WeightPattern{down, "transformer.blocks.{}.ffn.down_proj.weight"},
    WeightPattern{final_norm, "transformer.norm_f.weight"},
};

constexpr std::array kOptNames{
    WeightPattern{embedding, "model.decoder.embed_tokens.weight"},
    WeightPattern{embedding_projection, "model.decoder.project_in.weight"},
    WeightPattern{position_embedding, "model.decoder.embed_positions.weight"},
    WeightPattern{attention_norm, "model.decoder.layers.{}.self_attn_layer_norm.weight"},
    WeightPattern{attention_norm_bias, "model.decoder.layers.{}.self_attn_layer_norm.bias"},
    WeightPattern{q, "model.decoder.layers.{}.self_attn.q_proj.weight"},
    WeightPattern{q_bias, "model.decoder.layers.{}.self_attn.q_proj.bias"},
    WeightPattern{k, "model.decoder.layers.{}.self_attn.k_proj.weight"},
    WeightPattern{k_bias, "model.decoder.layers.{}.self_attn.k_proj.bias"},
    WeightPattern{v, "model.decoder.layers.{}.self_attn.v_proj.weight"},
    WeightPattern{v_bias, "model.decoder.layers.{}.self_attn.v_proj.bias"},
    WeightPattern{attention_output, "model.decoder.layers.{}.self_attn.out_proj.weight"},
    WeightPattern{attention_output_bias, "model.decoder.layers.{}.self_attn.out_proj.bias"},
    WeightPattern{mlp_norm, "model.decoder.layers.{}.final_layer_norm.weight"},
    WeightPattern{mlp_norm_bias, "model.decoder.layers.{}.final_layer_norm.bias"},
    WeightPattern{up, "model.decoder.layers.{}.fc1.weight"},
    WeightPattern{up_bias, "model.decoder.layers.{}.fc1.bias"},
    WeightPattern{down, "model.decoder.layers.{}.fc2.weight"},
    WeightPattern{down_bias, "model.decoder.layers.{}.fc2.bias"},
    WeightPattern{final_norm, "model.decoder.final_layer_norm.weight"},
    WeightPattern{final_norm_bias, "model.decoder.final_layer_norm.bias"},
    WeightPattern{head_projection, "model.decoder.project_out.weight"},
};

/// What all of them have: LayerNorm, a plain MLP, sizes.
inline ModelSpec old_style_spec(std::string_view model_type) {
  ModelSpec spec;
  spec.model_type = model_type;
  spec.layers = 2;
  spec.hidden = 48;
  spec.q_heads = 6;
  spec.kv_heads = 6;
  spec.head_dim = 8;
  spec.ffn = 192;
  spec.vocab = 40;
  spec.context = 16;
  spec.norm = NormKind::layer;
  spec.norm_has_bias = true;
  spec.rope.rotary_dim = spec.head_dim;
  spec.gated_mlp = false;
  spec.activation = Activation::gelu;
  spec.tied_head = true;
  return spec;
}

inline ModelSpec gpt_neox_spec() {
  ModelSpec spec = old_style_spec("gpt_neox");
  spec.rope.rotary_dim = 2;  // a quarter of head_dim
  spec.parallel_residual = true;
  spec.qkv_layout = QkvLayout::per_head;
  spec.qkv_bias = spec.output_bias = spec.mlp_bias = true;
  spec.tied_head = false;
  spec.weight_patterns = kGptNeoxNames;
  return spec;
}

/// Falcon-RW: ALiBi, one sub-layer after the other.
inline ModelSpec falcon_rw_spec() {
  ModelSpec spec = old_style_spec("falcon");
  spec.position = PositionKind::alibi;
  spec.qkv_layout = QkvLayout::per_head;
  spec.qkv_bias = spec.output_bias = spec.mlp_bias = true;
  spec.weight_patterns = kFalconNames;
  return spec;
}

/// Falcon-7B: one KV head, one norm for both branches.
inline ModelSpec falcon_7b_spec() {
  ModelSpec spec = old_style_spec("falcon");
  spec.kv_heads = 1;
  spec.parallel_residual = true;
  spec.shared_norm = true;
  spec.qkv_layout = QkvLayout::per_group;
  spec.weight_patterns = kFalconNames;
  return spec;
}

/// Falcon-40B: groups of query heads, a norm for each branch, a head of its own.
inline ModelSpec falcon_40b_spec() {
  ModelSpec spec = old_style_spec("falcon");
  spec.kv_heads = 2;
  spec.parallel_residual = true;
  spec.qkv_layout = QkvLayout::per_group;
  spec.tied_head = false;
  spec.weight_patterns = kFalconTwoNormNames;
  return spec;
}

inline ModelSpec mpt_spec() {
  ModelSpec spec = old_style_spec("mpt");
  spec.norm_has_bias = false;
  spec.position = PositionKind::alibi;
  spec.attention_scale = 0.5;
  spec.qkv_layout = QkvLayout::concatenated;
  spec.qkv_clip = 6.0;
  spec.weight_patterns = kMptNames;
  return spec;
}

inline ModelSpec opt_spec() {
  ModelSpec spec = old_style_spec("opt");
  spec.position = PositionKind::learned;
  spec.learned_position_offset = 2;
  spec.qkv_bias = spec.output_bias = spec.mlp_bias = true;
  spec.activation = Activation::relu;
  spec.weight_patterns = kOptNames;
  return spec;
}

/// OPT-350m: narrow embeddings, norms after the sub-layers, none at the end.
inline ModelSpec opt_350m_spec() {
  ModelSpec spec = opt_spec();
  spec.embedding_dim = 24;
  spec.norm_after = true;
  spec.has_final_norm = false;
  return spec;
}

struct FamilySpec {
  std::string_view name;  // in the golden file
  ModelSpec (*make)();
};

inline constexpr std::array kFamilySpecs{
    FamilySpec{"gpt_neox", gpt_neox_spec},
    FamilySpec{"falcon_rw", falcon_rw_spec},
    FamilySpec{"falcon_7b", falcon_7b_spec},
    FamilySpec{"falcon_40b", falcon_40b_spec},
    FamilySpec{"mpt", mpt_spec},
    FamilySpec{"opt", opt_spec},
    FamilySpec{"opt_350m", opt_350m_spec},
};

}  // namespace dms::testing_support
