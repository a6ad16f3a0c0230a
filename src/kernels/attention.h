#pragma once
// Attention of a tile of queries of one KV head's group against a list of its pages, with online
// softmax: no score matrix beyond one tile's block exists. Exact under semantics.md section 1: what
// a query sees of a page is a 32-bit word, all ones for survivors behind every window.

#include <cstdint>
#include <span>

#include "kernels/kv_page.h"
#include "kernels/page_ref.h"

namespace dms::kernels {

inline constexpr int64_t kMaxTilePositions = 32;

/// What a tile of queries has gathered so far: merging two of these is split-K.
struct AttentionPartial {
  std::span<float> max;  // [positions, group] running maximum of the scaled scores; -inf at first
  std::span<float> sum;  // [positions, group] sum of exp(score - max)
  std::span<float> output;  // [positions, group, head_dim] sum of exp(score - max) * value
};

struct AttentionArgs {
  KvPageLayout layout;
  int64_t positions = 1;           // query positions in the tile, 1..kMaxTilePositions
  int64_t group = 1;               // query heads per KV head
  float scale = 1.0f;              // multiplies q . k; positive
  float soft_cap = 0.0f;           // scaled scores become cap * tanh(score / cap); 0: they stay
  std::span<const float> q;        // [positions, group, head_dim], after RoPE
  std::span<const float> q_far{};  // the same, for pages marked far; empty: q
  // [positions, group] added to q . k of pages marked far that have biases; empty: nothing.
  std::span<const float> far_biases{};
  std::span<const PageRef> pages;
  // Floats from one position's queries to the next in q and q_far; 0: group * head_dim.
  int64_t q_position_stride = 0;
};

/// Overwrites `partial` with the attention over `args.pages`. A query that sees no token gets
/// max = -inf, sum = 0, output = 0. One thread; call it from several.
/// But with float32 pages, q (rotated where the keys are) and the softmax weights (times the
/// values' scales) are rounded to bf16 for the products.
void attend(const AttentionArgs& args, AttentionPartial partial);

/// Merges partials (in the given order) and writes the normalised output
/// [positions, group, head_dim] with `out_position_stride` floats between positions.
/// A query that saw no token at all gets zeros.
void merge_partials(std::span<const AttentionPartial> partials,
                    int64_t positions,
                    int64_t group,
                    int64_t head_dim,
                    std::span<float> out,
                    int64_t out_position_stride);

}  // namespace dms::kernels
