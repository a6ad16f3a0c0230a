#pragma once
// How a warpgroup attends the tiles that come, for its 64 rows: it starts a tile's scores before
// the weighted sum of the tile before, and takes the exponentials while that sum is under way.

#include "cuda/kernels/prefill_sm90_tiles.cuh"

namespace dms::cuda::sm90 {

/// A thread's part of its warpgroup's 64 rows: rows 16 warp + lane / 4 and eight further on.
template <int kHeadDim>
struct Rows {
  float sums[kHeadDim / 2] = {};
  float highest[2] = {-INFINITY, -INFINITY};
  float total[2] = {};
  RowEdge edges[2];
};

using Scores = float[kTile / 2];

template <int kHeadDim>
__device__ __forceinline__ void multiply_keys(Scores& scores, uint32_t queries, uint32_t keys) {
  using L = Layout<kHeadDim>;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    const uint32_t depth = k % 4 * 32;
    multiply_64x128(scores,
                    operand(queries + k / 4 * L::kQueryColumn + depth),
                    operand(keys + k / 4 * L::kTileColumn + depth),
                    k > 0);
  }
  commit_products();
}

template <int kHeadDim>
__device__ __forceinline__ void multiply_values(float (&sums)[kHeadDim / 2],
                                                const uint32_t (&weights)[kTile / 16][4],
                                                uint32_t values) {
  using L = Layout<kHeadDim>;
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
    const uint64_t b = operand(values + k * 16 * kColumnBytes, L::kTileColumn);
    if constexpr (kHeadDim == 128) {
      multiply_add_64x128(sums, weights[k], b);
    } else {
      multiply_add_64x64(sums, weights[k], b);
    }
  }
  commit_products();
}

__device__ __forceinline__ int column_of(int e) {
  return 8 * (e / 4) + static_cast<int>(threadIdx.x % 4) * 2 + e % 2;
}

__device__ __forceinline__ void scale_columns(Scores& scores, const __nv_bfloat16* scales) {
#pragma unroll
  for (int e = 0; e < kTile / 2; e += 4) {
    const __nv_bfloat162 pair = *reinterpret_cast<const __nv_bfloat162*>(scales + column_of(e));
    const float2 scale = __bfloat1622float2(pair);
    scores[e] *= scale.x;
    scores[e + 1] *= scale.y;
    scores[e + 2] *= scale.x;
    scores[e + 3] *= scale.y;
  }
}

/// Whether all rows of the warpgroup see all of a tile.
template <int kHeadDim>
__device__ __forceinline__ bool is_whole(const Block<kHeadDim>& block, int32_t tile) {
  const PrefillRun run = block.tiles.run(tile);
  const int32_t begin = block.tiles.begin(tile);
  const RowEdge* edges = block.edges + 2 * (threadIdx.x / kGroupThreads - 1);
  return begin >= visible_tokens(run, block.problem, block.tiles.survivors, edges[1]).begin &&
         begin + kTile <= visible_tokens(run, block.problem, block.tiles.survivors, edges[0]).end;
}

/// Hides from both rows the tokens of a tile that they do not see.
template <int kHeadDim>
__device__ __forceinline__ void mask(Scores& scores,
                                     const Rows<kHeadDim>& rows,
                                     const Block<kHeadDim>& block,
                                     int32_t tile) {
  const PrefillRun run = block.tiles.run(tile);
  const int32_t begin = block.tiles.begin(tile);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const VisibleTokens visible =
        visible_tokens(run, block.problem, block.tiles.survivors, rows.edges[r]);
    const int32_t low = visible.begin - begin;
    const int32_t high = visible.end - begin;
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      if (column_of(e) < low || column_of(e) >= high) scores[e] = -INFINITY;
      if (column_of(e + 1) < low || column_of(e + 1) >= high) scores[e + 1] = -INFINITY;
    }
  }
}

/// scores become weights; returns what brings former sums to the new highest scores.
template <int kHeadDim>
__device__ __forceinline__ float2 exponentiate(Scores& scores, Rows<kHeadDim>& rows, float scale) {
  float corrections[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float highest = rows.highest[r];
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      highest = fmaxf(highest, fmaxf(scores[e], scores[e + 1]));
    }
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
    // A row that has seen nothing yet: all its differences are -inf, not NaN.
    const float base = highest == -INFINITY ? 0.0f : highest * scale;
    corrections[r] = exp2_approximate(rows.highest[r] * scale - base);
    rows.highest[r] = highest;
    rows.total[r] *= corrections[r];
#pragma unroll
    for (int e = 2 * r; e < kTile / 2; e += 4) {
      scores[e] = exp2_approximate(fmaf(scores[e], scale, -base));
      scores[e + 1] = exp2_approximate(fmaf(scores[e + 1], scale, -base));
      rows.total[r] += scores[e] + scores[e + 1];
    }
  }
  return {corrections[0], corrections[1]};
}

/// Scores of a tile, which are there, to weights.
template <int kHeadDim>
__device__ __forceinline__ float2
weigh(Scores& scores, Rows<kHeadDim>& rows, const Block<kHeadDim>& block, int32_t tile) {
  const bool has_scales = block.has_scales(tile);
  const __nv_bfloat16* scales = block.scales(tile);
  if (has_scales) scale_columns(scores, scales);
  if (!is_whole(block, tile)) mask(scores, rows, block, tile);
  const float2 corrections = exponentiate(scores, rows, kLog2e * block.problem.p.score_scale);
  if (has_scales) scale_columns(scores, scales + kTile);
  return corrections;
}

__device__ __forceinline__ void pack(uint32_t (&weights)[kTile / 16][4], const Scores& scores) {
#pragma unroll
  for (int e = 0; e < kTile / 2; e += 2) {
    weights[e / 8][e % 8 / 2] = pack_bf16(scores[e], scores[e + 1]);
  }
}

template <int kHeadDim>
__device__ __forceinline__ void release(const Block<kHeadDim>& block, int32_t tile) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(block.empty(tile));
}

template <int kHeadDim>
__device__ __forceinline__ void attend(Rows<kHeadDim>& rows,
                                       const Block<kHeadDim>& block,
                                       uint32_t queries) {
  using L = Layout<kHeadDim>;
  Scores scores;
  uint32_t weights[kTile / 16][4];
  wait_for_phase(block.full(0), L::parity(0));
  begin_products();
  multiply_keys<kHeadDim>(scores, queries, shared_address(block.stage(0)));
  wait_for_products<0>();
  settle(scores);
  weigh(scores, rows, block, 0);
  pack(weights, scores);
  int32_t tile = 0;
  for (; tile + 1 < block.tiles.end_tile; ++tile) {
    wait_for_phase(block.full(tile + 1), L::parity(tile + 1));
    begin_products();
    multiply_keys<kHeadDim>(scores, queries, shared_address(block.stage(tile + 1)));
    multiply_values<kHeadDim>(rows.sums, weights, shared_address(block.stage(tile) + L::kSide));
    wait_for_products<1>();
    settle(scores);
    const float2 corrections = weigh(scores, rows, block, tile + 1);
    wait_for_products<0>();
    release(block, tile);
    settle(rows.sums);
    settle(scores);  // the weights that they become were being read
#pragma unroll
    for (int e = 0; e < kHeadDim / 2; ++e) {
      rows.sums[e] *= e / 2 % 2 == 0 ? corrections.x : corrections.y;
    }
    pack(weights, scores);
  }
  begin_products();
  multiply_values<kHeadDim>(rows.sums, weights, shared_address(block.stage(tile) + L::kSide));
  wait_for_products<0>();
  settle(rows.sums);
}

}  // namespace dms::cuda::sm90
