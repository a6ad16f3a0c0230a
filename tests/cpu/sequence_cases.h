#pragma once
// One sequence of every kind: where eviction decisions come from, windows around a page's edge,
// groups and head sizes, sliding windows, storage types.

#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cpu/tiny_model.h"

namespace dms::cpu {

constexpr float kTolerance = 1e-4f;
// Survivors off by half a unit in bf16's last place, in keys and in values, through two layers.
constexpr float kRoundedTolerance = 4 * 0x1p-8f;
// Off by half a step of 127 to the largest channel.
constexpr float kInt8Tolerance = 8.0f / 127.0f;
// Off by a tenth of a head's size, in keys and in values, through two layers.
constexpr float kFourBitTolerance = 0.5f;

struct Case {
  std::string name;
  TinyShape shape;
  CacheOptions cache;

  /// Of the largest logit. Whether a token in the rollback slack is read exactly or rounded depends
  /// on the chunking.
  float tolerance() const {
    if (cache.kv_dtype == "int8") return kInt8Tolerance;
    if (cache.kv_dtype.find('4') != std::string::npos) return kFourBitTolerance;
    return cache.kv_dtype == "bf16" ? kRoundedTolerance : kTolerance;
  }
};

inline void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

inline DmsSpec dms_spec(DmsSource source, int64_t shift, int64_t window, bool per_layer = false) {
  return {.source = source,
          .decision_shift = shift,
          .zero_after_rope = shift == 1,
          .per_layer = per_layer,
          .window = window};
}

inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t window : {1, 16, 31, 32, 33, 64}) {
    const std::string w = "_w" + std::to_string(window);
    all.push_back({"adapter_shift1" + w, {.dms = dms_spec(DmsSource::adapter, 1, window)}, {}});
    all.push_back({"neuron_shift0" + w,
                   {.kv_heads = 3, .group = 1, .dms = dms_spec(DmsSource::neuron, 0, window)},
                   {}});
    all.push_back({"random" + w,
                   {},
                   {.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = window}});
  }
  all.push_back({"adapter_layer_qknorm",
                 {.group = 3,
                  .head_dim = 24,
                  .qk_norm = true,
                  .dms = dms_spec(DmsSource::adapter, 1, 20, true)},
                 {}});
  all.push_back({"neuron_shift1_bias",
                 {.group = 8, .qkv_bias = true, .dms = dms_spec(DmsSource::neuron, 1, 20)},
                 {}});
  all.push_back({"kvzap", {.kv_heads = 3, .group = 3, .kvzap = KvzapSpec{.window = 33}}, {}});
  all.push_back({"kvzap_hidden",
                 {.group = 5, .kvzap = KvzapSpec{.window = 16, .hidden = 44}},
                 {.policy_args = {{"n_sink", "0"}, {"threshold", "0.1"}}}});
  all.push_back({"none", {.group = 5}, {.policy = "none"}});
  all.push_back({"none_sliding", {.sliding_window = 40}, {.policy = "none"}});
  all.push_back(
      {"random_sliding", {.sliding_window = 50}, {.policy = "random", .window_tokens = 20}});
  all.push_back({"streaming", {}, {.policy = "streaming", .policy_args = {{"recent_size", "40"}}}});
  all.push_back({"streaming_shift",
                 {},
                 {.policy = "streaming",
                  .policy_args = {{"recent_size", "40"}, {"enable_pos_shift", "true"}}}});
  all.push_back({"none_rounded", {}, {.policy = "none", .kv_dtype = "bf16"}});
  all.push_back({"random_rounded",
                 {.sliding_window = 90},
                 {.policy = "random",
                  .policy_args = {{"cr", "2"}},
                  .window_tokens = 33,
                  .kv_dtype = "bf16"}});
  all.push_back({"streaming_rounded",
                 {.group = 3},
                 {.policy = "streaming",
                  .policy_args = {{"recent_size", "40"}, {"enable_pos_shift", "true"}},
                  .kv_dtype = "bf16"}});
  all.push_back(
      {"none_int8", {.group = 3, .head_dim = 24}, {.policy = "none", .kv_dtype = "int8"}});
  all.push_back({"random_int8",
                 {.sliding_window = 90},
                 {.policy = "random",
                  .policy_args = {{"cr", "2"}},
                  .window_tokens = 33,
                  .kv_dtype = "int8"}});
  all.push_back({"random_lloyd4",
                 {.group = 3, .head_dim = 24},
                 {.policy = "random",
                  .policy_args = {{"cr", "2"}},
                  .window_tokens = 20,
                  .kv_dtype = "lloyd4"}});
  all.push_back({"none_mixed_sides",
                 {.layers = 3, .head_dim = 20},
                 {.policy = "none", .kv_dtype = "k=int8,v=higgs4", .kv_exact_layers = 1}});
  return all;
}

/// Policies that settle tokens by what is computed of them, which the plain model doesn't know.
inline std::vector<Case> threshold_cases() {
  return {{"knorm_threshold",
           {.group = 3, .head_dim = 24},
           {.policy = "knorm", .policy_args = {{"threshold", "-4.5"}, {"window", "20"}}}}};
}

/// Local layers around a global one, all else alike.
inline void make_local(ModelSpec& spec) { spec.sliding_window = {40, 0, 40}; }

/// Statistics of queries that differ from head to head and from layer to layer.
inline void make_calibrated(ModelSpec& spec) {
  const auto numbers = [&](int64_t columns, float shift) {
    std::vector<float> all(static_cast<size_t>(spec.layers * spec.q_heads * columns));
    for (size_t i = 0; i < all.size(); ++i) {
      all[i] = shift + std::sin(static_cast<float>(i * i % 97));
    }
    return std::make_shared<const std::vector<float>>(std::move(all));
  };
  spec.triattention = TriattentionSpec{.tokens = 1,
                                       .means = numbers(spec.head_dim, 0.0f),
                                       .sizes = numbers(spec.rope.rotary_dim / 2, 2.5f)};
}

/// Policies that plan at fixed lengths, wherever prompts end.
inline std::vector<Case> interval_cases() {
  std::vector<Case> all;
  for (const char* interval : {"1", "16", "33"}) {
    all.push_back({std::string("tova_i") + interval,
                   {.kv_heads = 3},
                   {.policy = "tova", .policy_args = {{"budget", "40"}, {"interval", interval}}}});
  }
  for (const char* interval : {"1", "16"}) {
    all.push_back({std::string("h2o_i") + interval,
                   {.kv_heads = 3},
                   {.policy = "h2o", .policy_args = {{"budget", "41"}, {"interval", interval}}}});
  }
  all.push_back({"tova_sliding",
                 {.group = 3, .sliding_window = 50},
                 {.policy = "tova", .policy_args = {{"budget", "20"}, {"interval", "10"}}}});
  // Of its interval's queries the first saw what is long out of sight.
  all.push_back({"h2o_local",
                 {.layers = 3, .change = make_local},
                 {.policy = "h2o", .policy_args = {{"budget", "20"}, {"interval", "48"}}}});
  return all;
}

/// As Gemma: norms around each sub-layer, caps, and layers that turn in two ways or not at all.
inline void make_capped(ModelSpec& spec) {
  spec.norm_offset = 1.0;
  spec.post_norms = true;
  spec.attention_soft_cap = 0.5;
  spec.logit_soft_cap = 2.0;
  spec.embedding_scale = 6.0;
  spec.qk_norm = true;
  spec.activation = Activation::gelu_tanh;
  spec.sliding_window = {50, 0, 50};
  spec.local_rope = spec.rope;
  spec.local_rope->theta = 300.0;
  spec.unrotated = {0, 1, 0};
}

/// As Falcon and Phi-3: LayerNorm, branches side by side, fused projections, heads turned in part.
inline void make_parallel(ModelSpec& spec) {
  spec.norm = NormKind::layer;
  spec.norm_has_bias = true;
  spec.parallel_residual = true;
  spec.shared_norm = true;
  spec.qkv_layout = QkvLayout::per_group;
  spec.fused_gate_up = true;
  spec.rope.rotary_dim = 4;
}

/// As OPT: learned positions, narrow embeddings, norms after the sub-layers.
inline void make_learned(ModelSpec& spec) {
  spec.norm = NormKind::layer;
  spec.norm_after = true;
  spec.has_final_norm = false;
  spec.position = PositionKind::learned;
  spec.learned_position_offset = 2;
  spec.embedding_dim = 24;
  spec.gated_mlp = false;
  spec.activation = Activation::relu;
}

/// As MPT: scores that fall with distance, clamped q, k and v, norms over all heads.
inline void make_alibi(ModelSpec& spec) {
  spec.norm = NormKind::layer;
  spec.position = PositionKind::alibi;
  for (int64_t head = 0; head < spec.q_heads; ++head) {
    spec.alibi_slopes.push_back(0.02f * static_cast<float>(head + 1));
  }
  spec.qkv_clip = 0.8;
  spec.qk_norm_whole = true;
  spec.qkv_layout = QkvLayout::concatenated;
  spec.gated_mlp = false;
  spec.activation = Activation::gelu;
}

/// As Falcon-RW.
inline void make_rounded_alibi(ModelSpec& spec) {
  make_alibi(spec);
  spec.alibi_in_bf16 = true;
}

/// Structures of families, whose decoders the plain model does not compute.
inline std::vector<Case> structure_cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const TinyShape& shape, const CacheOptions& cache) {
    Case& added = all.emplace_back();
    added.name = name;
    added.shape = shape;
    added.cache = cache;
  };
  const CacheOptions random{.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = 20};
  add("capped", {.layers = 3, .change = make_capped}, random);
  add("capped_adapter",
      {.layers = 3, .dms = dms_spec(DmsSource::adapter, 1, 16), .change = make_capped},
      {});
  add("parallel", {.group = 3, .change = make_parallel}, random);
  for (void (*change)(ModelSpec&) : {make_alibi, make_rounded_alibi}) {
    const std::string name = change == make_alibi ? "alibi" : "rounded_alibi";
    const TinyShape shape{.kv_heads = 3, .change = change};
    add(name, shape, random);
    add(name + "_shift",
        shape,
        {.policy = "streaming",
         .policy_args = {{"recent_size", "40"}, {"enable_pos_shift", "true"}}});
    add(name + "_tova_i16",
        shape,
        {.policy = "tova", .policy_args = {{"budget", "40"}, {"interval", "16"}}});
  }
  add("alibi_adapter",
      {.group = 3, .dms = dms_spec(DmsSource::adapter, 1, 31), .change = make_alibi},
      {});
  add("alibi_sliding", {.sliding_window = 50, .change = make_alibi}, random);
  add("learned", {.change = make_learned}, random);
  add("learned_neuron", {.dms = dms_spec(DmsSource::neuron, 0, 20), .change = make_learned}, {});
  return all;
}

/// ADMS with every compressor, small enough that all of it happens, and plans at the same multiples
/// within prompts and answers, so that chunks can't matter.
inline std::vector<Case> adms_cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name,
                       const TinyShape& shape,
                       const char* interval,
                       std::map<std::string, std::string> args,
                       const char* kv_dtype = "") {
    args.insert({{"start_size", "3"},
                 {"enable_dynamic_sink", "false"},
                 {"recent_size", "20"},
                 {"compressed_budget", "18"},
                 {"compression_interval", interval},
                 {"prompt_interval", interval}});
    if (!args.contains("compressor_type")) args.emplace("rank", "3");
    Case& added = all.emplace_back();
    added.name = "adms_" + name;
    added.shape = shape;
    added.cache = {.policy = "adms", .policy_args = std::move(args), .kv_dtype = kv_dtype};
  };
  add("low_rank", {.kv_heads = 3}, "8", {});
  add("low_rank_i1", {.group = 3, .head_dim = 24}, "1", {{"importance_metric", "mixed"}});
  add("low_rank_shift", {.kv_heads = 3}, "8", {{"enable_pos_shift", "true"}});
  add("low_rank_few_tokens", {}, "16", {{"svd_max_tokens", "10"}, {"importance_ratio", "0"}});
  add("low_rank_alibi", {.kv_heads = 3, .change = make_alibi}, "16", {});
  add("low_rank_capped", {.layers = 3, .change = make_capped}, "8", {});
  add("vq", {.kv_heads = 3}, "8", {{"compressor_type", "vq"}, {"num_clusters", "7"}});
  add("vq_adaptive",
      {.kv_heads = 4, .group = 1},
      "16",
      {{"compressor_type", "vq"}, {"use_adaptive_budget", "true"}});
  add("vq_shift",
      {.group = 3},
      "8",
      {{"compressor_type", "vq"}, {"enable_pos_shift", "true"}, {"anchor_mode", "hybrid"}});
  add("vq_alibi", {.change = make_alibi}, "16", {{"compressor_type", "vq"}});
  add("summary_sliding",
      {.sliding_window = 60},
      "33",
      {{"compressor_type", "summary"}, {"anchor_mode", "grid"}});
  add("summary_shift_sliding",
      {.sliding_window = 60},
      "8",
      {{"compressor_type", "summary"}, {"enable_pos_shift", "true"}});
  add("summary_attention",
      {.kv_heads = 3},
      "16",
      {{"compressor_type", "summary"}, {"importance_metric", "attention"}});
  add("vq_capped", {.layers = 3, .change = make_capped}, "8", {{"compressor_type", "vq"}});
  add("summary_shift_capped",
      {.layers = 3, .change = make_capped},
      "8",
      {{"compressor_type", "summary"}, {"enable_pos_shift", "true"}});
  add("learned", {.change = make_learned}, "8", {{"compressor_type", "summary"}});
  add("late_sinks",
      {},
      "8",
      {{"start_size", "50"}});  // plans come before the first tokens are all there
  add("vq_int8", {.group = 3}, "8", {{"compressor_type", "vq"}}, "int8");
  return all;
}

/// Policies whose plans depend on where prompts end.
inline std::vector<Case> prompt_cases() {
  std::vector<Case> all;
  for (const char* over : {"head", "layer"}) {
    const std::string name = std::string("_over_") + over;
    all.push_back({"knorm" + name,
                   {.kv_heads = 3},
                   {.policy = "knorm",
                    .policy_args = {{"compression_ratio", "0.6"}, {"budget_over", over}}}});
    all.push_back(
        {"snapkv" + name,
         {.kv_heads = 3, .group = 3},
         {.policy = "snapkv",
          .policy_args = {
              {"compression_ratio", "0.7"}, {"window_size", "12"}, {"budget_over", over}}}});
  }
  all.push_back(
      {"snapkv_by_chunks",
       {.kv_heads = 3},
       {.policy = "chunked", .policy_args = {{"window_size", "12"}, {"chunk_length", "40"}}}});
  all.push_back({"keydiff",
                 {.group = 3, .head_dim = 24},
                 {.policy = "keydiff", .policy_args = {{"compression_ratio", "0.6"}}}});
  all.push_back({"lagkv",
                 {.kv_heads = 3},
                 {.policy = "lagkv", .policy_args = {{"n_sink", "2"}, {"lag_size", "16"}}}});
  all.push_back({"knorm_budget_sliding",
                 {.sliding_window = 60},
                 {.policy = "knorm", .policy_args = {{"budget", "30"}, {"interval", "4"}}}});
  all.push_back({"expected_attention",
                 {.kv_heads = 3},
                 {.policy = "expected_attention",
                  .policy_args = {{"budget", "50"}, {"interval", "3"}, {"budget_over", "model"}}}});
  all.push_back(
      {"compactor",
       {.qk_norm = true},
       {.policy = "compactor", .policy_args = {{"chunk_size", "16"}, {"sink_size_end", "1"}}}});
  all.push_back(
      {"criticalkv",
       {.group = 3},
       {.policy = "criticalkv", .policy_args = {{"base", "keydiff"}, {"budget_over", "layer"}}}});
  all.push_back({"rkv",
                 {.group = 3},
                 {.policy = "rkv", .policy_args = {{"budget", "40"}, {"interval", "5"}}}});
  all.push_back(
      {"chunked",
       {.group = 3},
       {.policy = "chunked", .policy_args = {{"base", "knorm"}, {"chunk_length", "20"}}}});
  all.push_back({"chunked_expected",
                 {},
                 {.policy = "expected_attention",
                  .policy_args = {{"budget", "20"}, {"chunk_length", "16"}}}});
  all.push_back({"kvzip",
                 {.kv_heads = 3, .group = 3},
                 {.policy = "kvzip", .policy_args = {{"compression_ratio", "0.6"}}}});
  all.push_back({"kvzip_plus",
                 {.kv_heads = 3, .head_dim = 24},
                 {.policy = "kvzip_plus",
                  .policy_args = {{"budget", "50"}, {"interval", "3"}, {"budget_over", "layer"}}}});
  all.push_back({"kvzip_sliding",
                 {.sliding_window = 60},
                 {.policy = "kvzip", .policy_args = {{"n_sink", "0"}, {"budget", "30"}}}});
  all.push_back({"expected_attention_alibi",
                 {.kv_heads = 3, .change = make_alibi},
                 {.policy = "expected_attention", .policy_args = {{"compression_ratio", "0.6"}}}});
  all.push_back(
      {"expected_attention_capped",
       {.layers = 3, .change = make_capped},
       {.policy = "expected_attention", .policy_args = {{"budget", "40"}, {"interval", "3"}}}});
  all.push_back(
      {"expected_attention_dynamic",
       {.dynamic_rope_context = 50},
       {.policy = "expected_attention", .policy_args = {{"budget", "40"}, {"interval", "3"}}}});
  all.push_back({"compactor_rounded_alibi",
                 {.change = make_rounded_alibi},
                 {.policy = "compactor", .policy_args = {{"chunk_size", "16"}}}});
  all.push_back({"rkv_alibi",
                 {.change = make_alibi},
                 {.policy = "rkv", .policy_args = {{"budget", "40"}, {"interval", "5"}}}});
  all.push_back({"triattention_capped",
                 {.layers = 3, .change = make_capped},
                 {.policy = "triattention", .policy_args = {{"budget", "92"}, {"interval", "3"}}}});
  all.push_back({"kvzip_alibi",
                 {.kv_heads = 3, .change = make_alibi},
                 {.policy = "kvzip", .policy_args = {{"compression_ratio", "0.6"}}}});
  all.push_back({"kvzip_plus_capped",
                 {.layers = 3, .change = make_capped},
                 {.policy = "kvzip_plus", .policy_args = {{"budget", "40"}, {"interval", "5"}}}});
  all.push_back({"triattention",
                 {.group = 3},
                 {.policy = "triattention", .policy_args = {{"budget", "92"}, {"interval", "3"}}}});
  all.push_back(
      {"triattention_answers",
       {.kv_heads = 3, .head_dim = 24},
       {.policy = "triattention",
        .policy_args = {{"budget", "3"}, {"interval", "2"}, {"count_prompt_tokens", "false"}}}});
  all.push_back({"triattention_calibrated",
                 {.group = 3, .change = make_calibrated},
                 {.policy = "triattention", .policy_args = {{"budget", "92"}, {"interval", "3"}}}});
  // Prompts longer than the local layers' window, of which some is freed before they end.
  const TinyShape local{.layers = 3, .group = 3, .change = make_local};
  all.push_back(
      {"snapkv_local", local, {.policy = "snapkv", .policy_args = {{"window_size", "36"}}}});
  all.push_back({"knorm_local",
                 local,
                 {.policy = "knorm",
                  .policy_args = {{"compression_ratio", "0.6"}, {"budget_over", "model"}}}});
  all.push_back({"keydiff_local",
                 local,
                 {.policy = "keydiff", .policy_args = {{"budget", "30"}, {"interval", "5"}}}});
  all.push_back({"compactor_local", local, {.policy = "compactor"}});
  all.push_back({"snapkv_rounded",
                 {},
                 {.policy = "snapkv",
                  .policy_args = {{"budget", "40"}, {"window_size", "8"}, {"kernel_size", "3"}},
                  .kv_dtype = "bf16"}});
  return all;
}

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

}  // namespace dms::cpu
