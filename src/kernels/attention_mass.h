#pragma once
// How much attention entries get: what policies that rank entries by attention ask for. A pass of
// its own over the entries, for few queries.

#include <cstdint>
#include <span>

namespace dms::kernels {

/// One token's queries.
struct QueryRow {
  std::span<const float> heads;  // [group, head_dim], after RoPE
  int64_t position = 0;
};

struct AttentionMassArgs {
  std::span<const float> keys;         // [entries, head_dim], after RoPE
  std::span<const int32_t> positions;  // [entries]
  std::span<const QueryRow> queries;
  std::span<const float> biases{};  // [group, entries] added to q . k; empty: nothing
  int64_t head_dim = 0;
  int64_t group = 1;
  float scale = 1.0f;          // multiplies q . k
  float soft_cap = 0.0f;       // scaled scores become cap * tanh(score / cap); 0: they stay
  int64_t sliding_window = 0;  // 0: none
};

/// Writes each entry's softmax weight, [entries], its mean over queries and the group's heads. A
/// query attends the entries up to its position. The same bits on every instruction set.
void attention_mass(const AttentionMassArgs& args, std::span<float> mass);

}  // namespace dms::kernels
