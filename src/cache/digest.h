#pragma once
// What is held of tokens that a head no longer holds one by one: entries that each stand for
// several, and a block of low rank. A policy makes it of numbers; the cache stores it
// (digest_store.h). semantics.md section 4.

#include <cstdint>
#include <vector>

#include "base/check.h"

namespace dms::cache {

/// Entries of means, by rising position. Attention adds log(count) to their scores, so that one
/// attracts what its tokens would together.
struct MergedEntries {
  std::vector<int32_t> positions;  // before every window
  std::vector<int32_t> counts;     // tokens of each
  std::vector<float> keys;         // [entries, head_dim], turned by their positions
  std::vector<float> values;       // [entries, head_dim]

  int64_t count() const { return std::ssize(positions); }
};

/// Tokens whose keys (after RoPE) and values are products of two factors each, which attention
/// never multiplies out. Laid out as kernels::attend_low_rank() reads them.
struct LowRankBlock {
  int64_t rank = 0;
  std::vector<int32_t> positions;  // of the tokens, rising
  std::vector<float> key_rows;     // [rank, tokens]
  std::vector<float> key_basis;    // [head_dim, rank]
  std::vector<float> value_rows;   // [tokens, rank]
  std::vector<float> value_basis;  // [rank, head_dim]

  int64_t tokens() const { return std::ssize(positions); }
};

/// What blocks take.
struct BlockRoom {
  int64_t numbers = 0;  // of their factors
  int64_t tokens = 0;
};

/// Entries of full size that take as much room as a block.
inline int64_t equal_entries(int64_t rank, int64_t tokens, int64_t head_dim) {
  return ceil_div(rank * (tokens + head_dim), head_dim);
}

/// The middle as places in the cache address it, where the policy shifts positions: what is
/// attended in place of the middle's exact and merged entries, in the frame of the first tokens.
struct ShiftedMiddle {
  MergedEntries entries;         // exact ones count once; keys turned by their places
  std::vector<float> key_basis;  // of the block, turned by one shift
  int64_t end = 0;               // of the positions that it stands for
};

struct Digest {
  MergedEntries merged;
  LowRankBlock block;
  int64_t dropped = 0;  // tokens of which nothing is left
  ShiftedMiddle shifted;
};

}  // namespace dms::cache
