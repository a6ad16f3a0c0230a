#include "model/spec/weights.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "dms/error.h"
#include "model/spec/load.h"

namespace dms {
namespace {

/// The shape a weight of this role must have, or nothing where the spec has no such weight.
std::optional<std::vector<int64_t>> shape_of(WeightRole role, const ModelSpec& s) {
  using Shape = std::vector<int64_t>;
  const int64_t q = s.q_heads * s.head_dim;
  const int64_t kv = s.kv_heads * s.head_dim;
  const int64_t embedding_dim = s.embedding_dim == 0 ? s.hidden : s.embedding_dim;
  const bool fused = s.qkv_layout != QkvLayout::separate;
  const bool adapter = s.dms && s.dms->source == DmsSource::adapter;
  const bool scored = s.kvzap.has_value();
  const int64_t score_hidden = scored ? s.kvzap->hidden : 0;
  const auto when = [](bool present, Shape shape) {
    return present ? std::optional(std::move(shape)) : std::nullopt;
  };
  switch (role) {
    case WeightRole::embedding:
      return Shape{s.vocab, embedding_dim};
    case WeightRole::embedding_projection:
      return when(s.embedding_dim != 0, {s.hidden, embedding_dim});
    case WeightRole::position_embedding:
      return when(s.position == PositionKind::learned,
                  {s.context + s.learned_position_offset, s.hidden});
    case WeightRole::attention_norm:
      return Shape{s.hidden};
    case WeightRole::attention_post_norm:
    case WeightRole::mlp_post_norm:
      return when(s.post_norms, {s.hidden});
    case WeightRole::attention_norm_bias:
      return when(s.norm_has_bias, {s.hidden});
    case WeightRole::mlp_norm:
      return when(!s.shared_norm, {s.hidden});
    case WeightRole::mlp_norm_bias:
      return when(!s.shared_norm && s.norm_has_bias, {s.hidden});
    case WeightRole::q:
      return when(!fused, {q, s.hidden});
    case WeightRole::k:
    case WeightRole::v:
      return when(!fused, {kv, s.hidden});
    case WeightRole::qkv:
      return when(fused, {q + 2 * kv, s.hidden});
    case WeightRole::q_bias:
      return when(!fused && s.qkv_bias, {q});
    case WeightRole::k_bias:
    case WeightRole::v_bias:
      return when(!fused && s.qkv_bias, {kv});
    case WeightRole::qkv_bias:
      return when(fused && s.qkv_bias, {q + 2 * kv});
    case WeightRole::q_norm:
      return when(s.qk_norm || s.qk_norm_whole, {s.qk_norm_whole ? q : s.head_dim});
    case WeightRole::k_norm:
      return when(s.qk_norm || s.qk_norm_whole, {s.qk_norm_whole ? kv : s.head_dim});
    case WeightRole::attention_output:
      return Shape{s.hidden, q};
    case WeightRole::attention_output_bias:
      return when(s.output_bias, {s.hidden});
    case WeightRole::gate_up:
      return when(s.fused_gate_up, {2 * s.ffn, s.hidden});
    case WeightRole::gate:
      return when(s.gated_mlp && !s.fused_gate_up, {s.ffn, s.hidden});
    case WeightRole::gate_bias:
      return when(s.gated_mlp && s.mlp_bias, {s.ffn});
    case WeightRole::up:
      return when(!s.fused_gate_up, {s.ffn, s.hidden});
    case WeightRole::up_bias:
      return when(s.mlp_bias, {s.ffn});
    case WeightRole::down:
      return Shape{s.hidden, s.ffn};
    case WeightRole::down_bias:
      return when(s.mlp_bias, {s.hidden});
    case WeightRole::final_norm:
      return when(s.has_final_norm, {s.hidden});
    case WeightRole::final_norm_bias:
      return when(s.has_final_norm && s.norm_has_bias, {s.hidden});
    case WeightRole::head:
      return when(!s.tied_head, {s.vocab, embedding_dim});
    case WeightRole::head_projection:
      return when(s.embedding_dim != 0, {embedding_dim, s.hidden});
    case WeightRole::dms_alpha_norm:
      return when(adapter, {s.hidden});
    case WeightRole::dms_alpha:
      return when(adapter, {s.kv_heads, s.hidden});
    case WeightRole::dms_alpha_bias:
      return when(adapter && (s.qkv_bias || s.dms->alpha_bias), {s.kv_heads});
    case WeightRole::kvzap:
      return when(scored, {s.kv_heads, score_hidden == 0 ? s.hidden : score_hidden});
    case WeightRole::kvzap_bias:
      return when(scored, {s.kv_heads});
    case WeightRole::kvzap_hidden:
      return when(score_hidden > 0, {score_hidden, s.hidden});
    case WeightRole::kvzap_hidden_bias:
      return when(score_hidden > 0, {score_hidden});
    case WeightRole::triattention_mean:
      return when(s.triattention.has_value(), {s.q_heads, s.head_dim});
    case WeightRole::triattention_size:
      return when(s.triattention.has_value(), {s.q_heads, s.rope.rotary_dim / 2});
  }
  return std::nullopt;
}

std::string with_layer(std::string_view pattern, int64_t layer) {
  std::string name(pattern);
  const size_t at = name.find("{}");
  return at == std::string::npos ? name : name.replace(at, 2, std::to_string(layer));
}

bool is_per_layer(const WeightPattern& pattern) {
  return pattern.name.find("{}") != std::string_view::npos;
}

/// The same names in every family. Those of a hidden layer are torch's of nn.Sequential(Linear,
/// GELU, Linear).
std::span<const WeightPattern> kvzap_patterns(const ModelSpec& spec) {
  static constexpr std::array kLinear{
      WeightPattern{WeightRole::kvzap, "model.layers.{}.self_attn.kvzap.weight"},
      WeightPattern{WeightRole::kvzap_bias, "model.layers.{}.self_attn.kvzap.bias"}};
  static constexpr std::array kHidden{
      WeightPattern{WeightRole::kvzap_hidden, "model.layers.{}.self_attn.kvzap.0.weight"},
      WeightPattern{WeightRole::kvzap_hidden_bias, "model.layers.{}.self_attn.kvzap.0.bias"},
      WeightPattern{WeightRole::kvzap, "model.layers.{}.self_attn.kvzap.2.weight"},
      WeightPattern{WeightRole::kvzap_bias, "model.layers.{}.self_attn.kvzap.2.bias"}};
  if (!spec.kvzap) return {};
  if (spec.kvzap->hidden > 0) return kHidden;
  return kLinear;
}

/// Likewise; statistics, with which no layer computes.
constexpr std::array kTriattentionPatterns{
    WeightPattern{WeightRole::triattention_mean, "model.layers.{}.self_attn.triattention.q_mean"},
    WeightPattern{WeightRole::triattention_size,
                  "model.layers.{}.self_attn.triattention.q_abs_mean"}};

}  // namespace

std::vector<WeightName> weight_names(const ModelSpec& spec) {
  std::vector<WeightName> names;
  const auto add = [&](const WeightPattern& pattern, int64_t layer) {
    if (auto shape = shape_of(pattern.role, spec)) {
      names.push_back({.role = pattern.role,
                       .layer = layer,
                       .name = with_layer(pattern.name, layer),
                       .shape = std::move(*shape)});
    }
  };
  const auto is_first = [](const WeightPattern& pattern) {
    return pattern.role == WeightRole::embedding ||
           pattern.role == WeightRole::embedding_projection ||
           pattern.role == WeightRole::position_embedding;
  };
  for (const WeightPattern& pattern : spec.weight_patterns) {
    if (is_first(pattern)) add(pattern, -1);
  }
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    for (const WeightPattern& pattern : spec.weight_patterns) {
      if (is_per_layer(pattern)) add(pattern, layer);
    }
    for (const WeightPattern& pattern : kvzap_patterns(spec)) add(pattern, layer);
    for (const WeightPattern& pattern : kTriattentionPatterns) add(pattern, layer);
  }
  for (const WeightPattern& pattern : spec.weight_patterns) {
    if (!is_per_layer(pattern) && !is_first(pattern)) add(pattern, -1);
  }
  return names;
}

void WeightSource::read_codes(const WeightName& /*weight*/,
                              int64_t /*first*/,
                              int64_t /*count*/,
                              const CodeRows& /*out*/) const {
  ensure(false, "a weight without codes");
}

void read_decoded_rows(const WeightSource& source,
                       const WeightName& weight,
                       int64_t first,
                       int64_t count,
                       std::span<float> out) {
  const int64_t group = source.code_groups(weight)->group;
  std::vector<uint8_t> codes(out.size());
  std::vector<float> scales(out.size() / static_cast<size_t>(group));
  std::vector<float> minima(scales.size());
  source.read_codes(weight, first, count, {codes, scales, minima});
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t g = i / static_cast<size_t>(group);
    out[i] = scales[g] * static_cast<float>(codes[i]) + minima[g];
  }
}

bool is_adapter(WeightRole role) {
  switch (role) {
    case WeightRole::dms_alpha_norm:
    case WeightRole::dms_alpha:
    case WeightRole::dms_alpha_bias:
    case WeightRole::kvzap:
    case WeightRole::kvzap_bias:
    case WeightRole::kvzap_hidden:
    case WeightRole::kvzap_hidden_bias:
    case WeightRole::triattention_mean:
    case WeightRole::triattention_size:
      return true;
    default:
      return false;
  }
}

int64_t element_count(const WeightName& weight) {
  int64_t count = 1;
  for (const int64_t size : weight.shape) count *= size;  // bounded by the config's checks
  return count;
}

int64_t parameter_count(const ModelSpec& spec) {
  int64_t total = 0;
  for (const WeightName& weight : weight_names(spec)) {
    const bool is_statistic = weight.role == WeightRole::triattention_mean ||
                              weight.role == WeightRole::triattention_size;
    if (!is_statistic) total += element_count(weight);
  }
  return total;
}

}  // namespace dms
