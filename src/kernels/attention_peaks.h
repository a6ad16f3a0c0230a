#pragma once
// What entries get of the attention of queries that come after them, at most: how KVzip scores a
// context by the queries of its repetition. Work goes by tiles of queries; there is no matrix of
// all queries by all entries.

#include <cstdint>
#include <span>

namespace dms::kernels {

struct AttentionPeakArgs {
  // [entries, head_dim], after RoPE. All queries attend the first `shared` ones; of the others,
  // entry shared + j is query j's own, which it and those after it attend.
  std::span<const float> keys;
  std::span<const float> queries;   // [count, group, head_dim], after RoPE
  std::span<const float> offsets;   // [count]: added to the logs of a query's weights
  std::span<const float> biases{};  // [group, entries] added to q . k; empty: nothing
  int64_t shared = 0;
  int64_t first = 0;  // of the shared entries, those with a place in `peaks` begin here
  int64_t head_dim = 0;
  int64_t group = 1;
  float scale = 1.0f;     // multiplies q . k
  float soft_cap = 0.0f;  // scaled scores become cap * tanh(score / cap); 0: they stay
};

/// Raises `peaks`, [group, places], to the largest of log(softmax weight) + offset that a query
/// gives to the entry, for each of the group's heads. Float32; uses the caller's threads.
void attention_peaks(const AttentionPeakArgs& args, std::span<float> peaks);

}  // namespace dms::kernels
