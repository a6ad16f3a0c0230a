#pragma once
// What a model's queries are before RoPE turns them, added up while the model reads texts: means of
// each query head's channels and of the sizes of the pairs of channels that turn together.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cpu/cpu_model.h"
#include "policy/frequency_means.h"
#include "policy/policy.h"

namespace dms::cpu {

class QueryStatistics {
 public:
  /// `spec`: of `model`; its positions turn queries.
  QueryStatistics(CpuModel& model, const ModelSpec& spec);

  /// Reads `ids` as a text by itself. `progress`: called with the number of tokens read since the
  /// last call. Throws RunError at the memory limit.
  void read(std::span<const int32_t> ids, const std::function<void(int64_t)>& progress);

  int64_t tokens() const { return tokens_; }
  std::vector<float> means() const;  // [layers, q_heads, head_dim]
  std::vector<float> sizes() const;  // [layers, q_heads, rotary_dim / 2]; 0 where none turns

 private:
  void add(const cache::LayerChunk& chunk, int64_t first);

  CpuModel& model_;
  ModelSpec spec_;
  policy::Rotations rotations_;
  std::vector<policy::FrequencyMeans> layers_;
  int64_t tokens_ = 0;
};

}  // namespace dms::cpu
