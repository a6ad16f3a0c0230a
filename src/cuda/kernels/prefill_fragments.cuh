#pragma once
// Fragments of a warp that attends by mma.sync: 32 rows of queries against a tile of keys and
// values, so that each fragment that comes from shared memory feeds two products. Element e of a
// 16x8 fragment is row lane / 4 + 8 (e / 2), column lane % 4 * 2 + e % 2.

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/ptx.cuh"

namespace dms::cuda {

inline constexpr int kRowTiles = 2;  // of 16 rows, of a warp
inline constexpr int kWarpRows = 16 * kRowTiles;
inline constexpr int kTile = kPageTokens;

/// Rows of bf16 in shared memory, in chunks of 16 bytes that are exchanged so that ldmatrix finds
/// the same chunk of eight rows in eight different groups of banks.
template <int kHeadDim>
struct RowLayout {
  static constexpr int kChunks = kHeadDim / 8;
  static constexpr int kShift = kHeadDim == 80 ? 2 : kHeadDim == 96 ? 1 : 0;
  static constexpr int kMask = kHeadDim == 80 ? 1 : kHeadDim == 96 ? 3 : 7;
  static constexpr int kRowBytes = 2 * kHeadDim;

  static __device__ __forceinline__ uint32_t place(int row, int chunk) {
    return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ (row >> kShift & kMask)) << 4));
  }
};

/// A warp's online softmax: fragments of 32 rows, as mma.sync lays them out. Row r of a thread is
/// row 16 (r / 2) + 8 (r % 2) + lane / 4 of the warp's.
template <int kHeadDim>
struct Softmax {
  float sums[kRowTiles][kHeadDim / 8][4] = {};
  float highest[2 * kRowTiles];
  float total[2 * kRowTiles] = {};
};

using Scores = float[kRowTiles][kTile / 8][4];

template <int kHeadDim>
__device__ __forceinline__ void multiply_keys(Scores& scores, uint32_t queries, uint32_t keys) {
  using L = RowLayout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = static_cast<int>(threadIdx.x / 32) * kWarpRows;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    uint32_t q[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      load_matrices(q[m], queries + L::place(warp_row + 16 * m + lane % 16, 2 * k + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < kTile / 16; ++n) {
      uint32_t key[4];
      load_matrices(key, keys + L::place(16 * n + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        multiply_add(scores[m][2 * n], q[m], key[0], key[1]);
        multiply_add(scores[m][2 * n + 1], q[m], key[2], key[3]);
      }
    }
  }
}

/// scores become weights; what was summed before is brought to the new highest score.
template <int kHeadDim>
__device__ __forceinline__ void exponentiate(Softmax<kHeadDim>& softmax,
                                             Scores& scores,
                                             float scale) {
#pragma unroll
  for (int r = 0; r < 2 * kRowTiles; ++r) {
    float highest = softmax.highest[r];
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
      highest = fmaxf(highest, fmaxf(scores[r / 2][n][r % 2 * 2], scores[r / 2][n][r % 2 * 2 + 1]));
    }
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
    // A row that has seen nothing yet: all its differences are -inf, not NaN.
    const float base = highest == -INFINITY ? 0.0f : highest * scale;
    const float correction = exp2_approximate(softmax.highest[r] * scale - base);
    softmax.highest[r] = highest;
    softmax.total[r] *= correction;
#pragma unroll
    for (int t = 0; t < kHeadDim / 8; ++t) {
      softmax.sums[r / 2][t][r % 2 * 2] *= correction;
      softmax.sums[r / 2][t][r % 2 * 2 + 1] *= correction;
    }
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int e = r % 2 * 2; e < r % 2 * 2 + 2; ++e) {
        const float weight = exp2_approximate(fmaf(scores[r / 2][n][e], scale, -base));
        softmax.total[r] += weight;
        scores[r / 2][n][e] = weight;
      }
    }
  }
}

template <int kHeadDim>
__device__ __forceinline__ void multiply_values(Softmax<kHeadDim>& softmax,
                                                const Scores& weights,
                                                uint32_t values) {
  using L = RowLayout<kHeadDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int k = 0; k < kTile / 16; ++k) {
    uint32_t p[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &weights[m][2 * k + i / 2][i % 2 * 2];
        p[m][i] = pack_bf16(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int t = 0; t < kHeadDim / 16; ++t) {
      uint32_t value[4];
      load_matrices_transposed(value, values + L::place(16 * k + lane % 16, 2 * t + lane / 16));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        multiply_add(softmax.sums[m][2 * t], p[m], value[0], value[1]);
        multiply_add(softmax.sums[m][2 * t + 1], p[m], value[2], value[3]);
      }
    }
  }
}

/// Multiplies columns by scales [kTile]; those of tokens beyond `valid` are not looked at.
__device__ __forceinline__ void scale_columns(Scores& scores,
                                              const __nv_bfloat16* scales,
                                              int32_t valid) {
  const int column = static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = 8 * n + column + e;
      const float scale = token < valid ? __bfloat162float(scales[token]) : 0.0f;
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        scores[m][n][e] *= scale;
        scores[m][n][e + 2] *= scale;
      }
    }
  }
}

}  // namespace dms::cuda
