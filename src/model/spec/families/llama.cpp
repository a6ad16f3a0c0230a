// Llama 1, 2 and 3.x, and the common ground of its descendants.

#include <algorithm>
#include <array>
#include <string>

#include "base/check.h"
#include "dms/error.h"
#include "model/spec/families/family.h"
#include "model/spec/note.h"
#include "model/spec/rope_config.h"

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
    WeightPattern{mlp_norm, "model.layers.{}.post_attention_layernorm.weight"},
    WeightPattern{gate, "model.layers.{}.mlp.gate_proj.weight"},
    WeightPattern{gate_bias, "model.layers.{}.mlp.gate_proj.bias"},
    WeightPattern{up, "model.layers.{}.mlp.up_proj.weight"},
    WeightPattern{up_bias, "model.layers.{}.mlp.up_proj.bias"},
    WeightPattern{down, "model.layers.{}.mlp.down_proj.weight"},
    WeightPattern{down_bias, "model.layers.{}.mlp.down_proj.bias"},
    WeightPattern{final_norm, "model.norm.weight"},
    WeightPattern{head, "lm_head.weight"},
};

struct ActivationName {
  std::string_view name;
  Activation activation;
};

constexpr std::array kActivations{
    ActivationName{"silu", Activation::silu},
    ActivationName{"swish", Activation::silu},
    ActivationName{"gelu", Activation::gelu},
    ActivationName{"gelu_python", Activation::gelu},
    ActivationName{"gelu_new", Activation::gelu_tanh},
    ActivationName{"gelu_fast", Activation::gelu_tanh},  // GPT-NeoX-20B's
    ActivationName{"gelu_pytorch_tanh", Activation::gelu_tanh},
    ActivationName{"relu", Activation::relu},
};

void check_head_dim(const ModelSpec& spec, const JsonFields& config) {
  if (spec.head_dim % 2 == 0) return;
  throw InputError({.where = config.where() + ": head_dim",
                    .what = "must be even for rotary positions",
                    .got = std::to_string(spec.head_dim),
                    .expected = "an even number"});
}

int64_t kv_heads_of(const JsonFields& config, int64_t q_heads, int64_t family_default) {
  const bool use_default =
      !config.is_null("num_key_value_heads") && family_default > 0 && q_heads % family_default == 0;
  return config.integer_or(
      "num_key_value_heads", use_default ? family_default : q_heads, 1, kMaxHeads);
}

int64_t head_dim_of(const JsonFields& config, const ModelSpec& spec, int64_t family_default) {
  if (config.has("head_dim")) return config.integer("head_dim", 1, kMaxHeadDim);
  if (family_default > 0) return family_default;
  const int64_t head_dim = spec.hidden / spec.q_heads;
  if (head_dim * spec.q_heads != spec.hidden || head_dim > kMaxHeadDim) {
    throw InputError({.where = config.where() + ": num_attention_heads",
                      .what = "does not divide hidden_size, and there is no head_dim",
                      .got = std::to_string(spec.q_heads),
                      .expected = "a divisor of " + std::to_string(spec.hidden)});
  }
  return head_dim;
}

}  // namespace

std::span<const WeightPattern> llama_weight_patterns() { return kNames; }

Activation read_activation(const JsonFields& config, const char* key, const char* absent) {
  const std::string name = config.string_or(key, absent);
  const auto* it = std::ranges::find(kActivations, name, &ActivationName::name);
  if (it != kActivations.end()) return it->activation;
  throw InputError(
      {.where = config.where() + ": " + key,
       .what = "unknown activation",
       .got = name,
       .expected = "silu, gelu, gelu_python, gelu_new, gelu_fast, gelu_pytorch_tanh or relu"});
}

void read_context(const JsonFields& config, const char* key, int64_t absent, ModelSpec& spec) {
  spec.context = config.integer_or(key, absent, 1, kMaxContext);
  if (config.has(key)) return;
  add_note(spec,
           {.where = config.where() + ": " + key,
            .what = "missing, so that " + std::to_string(spec.context) +
                    " is assumed, as in transformers"});
}

void check_groups(const JsonFields& config, const char* key, const ModelSpec& spec) {
  if (spec.q_heads % spec.kv_heads == 0) return;
  throw InputError({.where = config.where() + ": " + key,
                    .what = "does not divide num_attention_heads",
                    .got = std::to_string(spec.kv_heads),
                    .expected = "a divisor of " + std::to_string(spec.q_heads)});
}

ModelSpec llama_like(const JsonFields& config, const FamilyDefaults& defaults) {
  ModelSpec spec;
  spec.model_type = config.string("model_type");
  spec.layers = config.integer("num_hidden_layers", 1, kMaxLayers);
  spec.hidden = config.integer("hidden_size", 1, kMaxWidth);
  spec.q_heads = config.integer("num_attention_heads", 1, kMaxHeads);
  spec.kv_heads = kv_heads_of(config, spec.q_heads, defaults.kv_heads);
  spec.head_dim = head_dim_of(config, spec, defaults.head_dim);
  spec.ffn = config.integer("intermediate_size", 1, kMaxWidth);
  spec.vocab = config.integer("vocab_size", 1, kMaxVocab);
  read_context(config, "max_position_embeddings", defaults.context, spec);
  spec.norm_eps = config.number_or("rms_norm_eps", defaults.norm_eps, 0.0, 1.0);
  spec.activation = read_activation(config, defaults.activation_key, defaults.activation);
  spec.tied_head = config.boolean_or("tie_word_embeddings", defaults.tied_head);
  spec.weight_patterns = llama_weight_patterns();
  check_groups(config, "num_key_value_heads", spec);
  check_head_dim(spec, config);
  read_rope(config, spec, defaults.rope);
  return spec;
}

ModelSpec make_llama(const JsonFields& config) {
  ModelSpec spec = llama_like(config, {.context = 2048});
  spec.qkv_bias = config.boolean_or("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = config.boolean_or("mlp_bias", false);
  return spec;
}

}  // namespace dms::families
