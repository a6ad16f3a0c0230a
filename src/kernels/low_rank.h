#pragma once
// Attention of a tile of queries of one KV head's group to tokens whose keys and values are
// products of two factors: scores are (q . key_basis) . key_rows, outputs (weights . value_rows) .
// value_basis, so that no key or value is ever made.

#include <cstdint>
#include <span>

#include "kernels/attention.h"

namespace dms::kernels {

/// A factor's numbers where they lie: float32, or the bits of bf16 where there are no `floats`.
struct Factor {
  std::span<const float> floats{};
  std::span<const uint16_t> bits{};

  int64_t count() const { return floats.empty() ? std::ssize(bits) : std::ssize(floats); }
};

/// float32 to the bits of bf16, nearest even, NaN staying NaN; and back. As many of both.
void narrow_factor(std::span<const float> numbers, std::span<uint16_t> bits);
void widen_factor(std::span<const uint16_t> bits, std::span<float> numbers);

struct LowRankArgs {
  int64_t positions = 1;  // query positions in the tile, 1..kMaxTilePositions
  int64_t group = 1;
  int64_t head_dim = 0;
  int64_t rank = 0;
  int64_t tokens = 0;
  float scale = 1.0f;             // multiplies q . k; positive
  float soft_cap = 0.0f;          // as of AttentionArgs
  std::span<const float> q;       // [positions, group, head_dim], after RoPE
  int64_t q_position_stride = 0;  // floats; 0: group * head_dim
  Factor key_rows;
  Factor key_basis;
  Factor value_rows;
  Factor value_basis;
  std::span<const float> biases{};  // [group, tokens] added to q . k before it is scaled; or empty
  // [positions] tokens before it are hidden from the query; empty: it sees all.
  std::span<const int64_t> first_seen{};
};

/// Overwrites `partial`, which merge_partials() joins with others. A query that sees no token gets
/// max = -inf, sum = 0, output = 0. float32, with the bits of a block in float32 that holds the
/// same numbers; one thread, call it from several.
///   key_rows [rank, tokens], key_basis [head_dim, rank], value_rows [tokens, rank], value_basis
///   [rank, head_dim]
void attend_low_rank(const LowRankArgs& args, AttentionPartial partial);

}  // namespace dms::kernels
