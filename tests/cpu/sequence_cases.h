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

struct Case {
  std::string name;
  TinyShape shape;
  CacheOptions cache;

  /// Of the largest logit. Whether a token in the rollback slack is read exactly or rounded depends
  /// on the chunking.
  float tolerance() const { return cache.kv_dtype == "bf16" ? kRoundedTolerance : kTolerance; }
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
  return all;
}

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

}  // namespace dms::cpu
