// OPT: LayerNorm, learned positions, ReLU. The 350M one has its norms after the sub-layers and
// narrow embeddings.

#include <array>

#include "dms/error.h"
#include "model/spec/families/classic.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

constexpr std::array kNames{
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
    WeightPattern{dms_alpha_norm, "model.decoder.layers.{}.self_attn.dms_proj_alpha_norm.weight"},
    WeightPattern{dms_alpha, "model.decoder.layers.{}.self_attn.dms_proj_alpha.weight"},
    WeightPattern{dms_alpha_bias, "model.decoder.layers.{}.self_attn.dms_proj_alpha.bias"},
    WeightPattern{mlp_norm, "model.decoder.layers.{}.final_layer_norm.weight"},
    WeightPattern{mlp_norm_bias, "model.decoder.layers.{}.final_layer_norm.bias"},
    WeightPattern{up, "model.decoder.layers.{}.fc1.weight"},
    WeightPattern{up_bias, "model.decoder.layers.{}.fc1.bias"},
    WeightPattern{down, "model.decoder.layers.{}.fc2.weight"},
    WeightPattern{down_bias, "model.decoder.layers.{}.fc2.bias"},
    WeightPattern{final_norm, "model.decoder.final_layer_norm.weight"},
    WeightPattern{final_norm_bias, "model.decoder.final_layer_norm.bias"},
    WeightPattern{head_projection, "model.decoder.project_out.weight"},
    WeightPattern{head, "lm_head.weight"},
};

constexpr int64_t kPositionOffset = 2;

}  // namespace

ModelSpec make_opt(const JsonFields& config) {
  ModelSpec spec = classic(config, {.tied_head = true});
  if (!config.boolean_or("layer_norm_elementwise_affine", true)) {
    throw InputError({.where = config.where() + ": layer_norm_elementwise_affine",
                      .what = "norms without weights are not supported",
                      .got = "false",
                      .expected = "true"});
  }
  spec.ffn = config.integer("ffn_dim", 1, kMaxWidth);
  spec.activation = read_activation(config, "activation_function", "relu");
  spec.position = PositionKind::learned;
  spec.learned_position_offset = kPositionOffset;
  spec.norm_after = !config.boolean_or("do_layer_norm_before", true);
  spec.has_final_norm = !spec.norm_after && !config.boolean_or("_remove_final_layer_norm", false);
  spec.qkv_bias = config.boolean_or("enable_bias", true);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = spec.qkv_bias;
  const int64_t width = config.integer_or("word_embed_proj_dim", spec.hidden, 1, kMaxWidth);
  spec.embedding_dim = width == spec.hidden ? 0 : width;
  spec.weight_patterns = kNames;
  return spec;
}

}  // namespace dms::families
