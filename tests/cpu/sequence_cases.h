#pragma once
// One sequence of every kind: where eviction decisions come from, windows around a page's edge,
// groups and head sizes, sliding windows, storage types.

#include <ostream>
#include <string>
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
  all.push_back({"knorm_budget_sliding",
                 {.sliding_window = 60},
                 {.policy = "knorm", .policy_args = {{"budget", "30"}}}});
  all.push_back({"snapkv_rounded",
                 {},
                 {.policy = "snapkv",
                  .policy_args = {{"budget", "40"}, {"window_size", "8"}, {"kernel_size", "3"}},
                  .kv_dtype = "bf16"}});
  return all;
}

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

}  // namespace dms::cpu
