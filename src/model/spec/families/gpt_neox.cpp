// GPT-NeoX and Pythia: LayerNorm, attention and MLP side by side, part of each head turned.

#include <array>

#include "model/spec/families/classic.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

constexpr std::array kNames{
    WeightPattern{embedding, "gpt_neox.embed_in.weight"},
    WeightPattern{attention_norm, "gpt_neox.layers.{}.input_layernorm.weight"},
    WeightPattern{attention_norm_bias, "gpt_neox.layers.{}.input_layernorm.bias"},
    WeightPattern{qkv, "gpt_neox.layers.{}.attention.query_key_value.weight"},
    WeightPattern{qkv_bias, "gpt_neox.layers.{}.attention.query_key_value.bias"},
    WeightPattern{attention_output, "gpt_neox.layers.{}.attention.dense.weight"},
    WeightPattern{attention_output_bias, "gpt_neox.layers.{}.attention.dense.bias"},
    WeightPattern{dms_alpha_norm, "gpt_neox.layers.{}.attention.dms_proj_alpha_norm.weight"},
    WeightPattern{dms_alpha, "gpt_neox.layers.{}.attention.dms_proj_alpha.weight"},
    WeightPattern{dms_alpha_bias, "gpt_neox.layers.{}.attention.dms_proj_alpha.bias"},
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

// What transformers assumes where the key is absent.
constexpr double kDefaultRotaryShare = 0.25;

}  // namespace

ModelSpec make_gpt_neox(const JsonFields& config) {
  ModelSpec spec = classic(config, {.norm_eps = "layer_norm_eps", .tied_head = false});
  read_rope(config,
            spec,
            {.theta = "rotary_emb_base",
             .partial_factor = "rotary_pct",
             .default_partial_factor = kDefaultRotaryShare});
  spec.ffn = config.integer("intermediate_size", 1, kMaxWidth);
  spec.activation = read_activation(config, "hidden_act", "gelu");
  spec.parallel_residual = config.boolean_or("use_parallel_residual", true);
  spec.qkv_layout = QkvLayout::per_head;
  spec.qkv_bias = config.boolean_or("attention_bias", true);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = true;
  spec.weight_patterns = kNames;
  return spec;
}

}  // namespace dms::families
