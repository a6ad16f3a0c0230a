// MPT: LayerNorm without biases, ALiBi, q, k and v in one tensor and clamped if asked.

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "dms/error.h"
#include "model/spec/families/alibi.h"
#include "model/spec/families/classic.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

using enum WeightRole;

constexpr std::array kNames{
    WeightPattern{embedding, "transformer.wte.weight"},
    WeightPattern{attention_norm, "transformer.blocks.{}.norm_1.weight"},
    WeightPattern{qkv, "transformer.blocks.{}.attn.Wqkv.weight"},
    WeightPattern{q_norm, "transformer.blocks.{}.attn.q_ln.weight"},
    WeightPattern{k_norm, "transformer.blocks.{}.attn.k_ln.weight"},
    WeightPattern{attention_output, "transformer.blocks.{}.attn.out_proj.weight"},
    WeightPattern{dms_alpha_norm, "transformer.blocks.{}.attn.dms_proj_alpha_norm.weight"},
    WeightPattern{dms_alpha, "transformer.blocks.{}.attn.dms_proj_alpha.weight"},
    WeightPattern{dms_alpha_bias, "transformer.blocks.{}.attn.dms_proj_alpha.bias"},
    WeightPattern{mlp_norm, "transformer.blocks.{}.norm_2.weight"},
    WeightPattern{up, "transformer.blocks.{}.ffn.up_proj.weight"},
    WeightPattern{down, "transformer.blocks.{}.ffn.down_proj.weight"},
    WeightPattern{final_norm, "transformer.norm_f.weight"},
    WeightPattern{head, "lm_head.weight"},
};

constexpr int64_t kDefaultRatio = 4;
constexpr double kDefaultBiasMax = 8.0;

/// A setting of the original code that transformers reads and does not compute.
void require(const JsonFields& fields, const char* key, bool expected) {
  if (fields.boolean_or(key, expected) == expected) return;
  throw InputError({.where = fields.where() + ": " + key,
                    .what = "is not supported",
                    .got = expected ? "false" : "true",
                    .expected = expected ? "true" : "false"});
}

/// `names`: what is computed; the first is assumed.
void require_name(const JsonFields& fields,
                  const char* key,
                  std::initializer_list<const char*> names) {
  const std::string name = fields.string_or(key, *names.begin());
  if (std::ranges::find(names, name) != names.end()) return;
  throw InputError({.where = fields.where() + ": " + key,
                    .what = "is not supported",
                    .got = name.substr(0, 60),
                    .expected = *names.begin()});
}

void read_attention(const JsonFields& attention, ModelSpec& spec) {
  require(attention, "alibi", true);
  require(attention, "prefix_lm", false);
  require_name(attention, "attn_type", {"multihead_attention"});
  spec.qkv_clip = attention.number_or("clip_qkv", 0.0, 0.0, 1e9);
  spec.attention_scale = attention.number_or("softmax_scale", 0.0, 1e-9, 1e9);
  spec.qk_norm_whole = attention.boolean_or("qk_ln", false);
  spec.position = PositionKind::alibi;
  const double bias_max = attention.number_or("alibi_bias_max", kDefaultBiasMax, 1e-3, 1e3);
  for (const double slope : mpt_slopes(spec.q_heads, bias_max)) {
    spec.alibi_slopes.push_back(static_cast<float>(slope / spec.query_scale()));
  }
}

}  // namespace

ModelSpec make_mpt(const JsonFields& config) {
  ModelSpec spec = classic(config,
                           {.layers = "n_layers",
                            .hidden = "d_model",
                            .heads = "n_heads",
                            .context = "max_seq_len",
                            .norm_eps = "layer_norm_epsilon",
                            .tied_head = true});
  require(config, "no_bias", true);
  require_name(config, "norm_type", {"low_precision_layernorm", "layernorm"});
  if (config.has("logit_scale")) {
    throw InputError({.where = config.where() + ": logit_scale",
                      .what = "scaled logits are not supported",
                      .got = quote_json(*config.find("logit_scale")),
                      .expected = "null"});
  }
  spec.norm_has_bias = false;
  spec.ffn = config.integer_or("expansion_ratio", kDefaultRatio, 1, 1024) * spec.hidden;
  spec.activation = Activation::gelu;
  spec.qkv_layout = QkvLayout::concatenated;
  spec.weight_patterns = kNames;
  const Json* attention = config.find("attn_config");
  const Json none = Json::object();
  read_attention(
      JsonFields(attention == nullptr ? none : *attention, config.where() + ": attn_config"), spec);
  return spec;
}

}  // namespace dms::families
