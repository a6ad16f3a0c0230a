#pragma once
// int4 weights of a thin product (matmul_thin.cuh). Codes are multiplied as they are, and the sum
// of each group of 32 columns gets its scale and minimum in float32: no weight is rounded.

#include "cuda/kernels/matmul_thin.cuh"

namespace dms::cuda {

/// A lane loads whole groups: of lane t, group t of the step's four.
template <>
struct ThinWeights<MatrixFormat::int4> {
  static constexpr int kStepColumns = 4 * kGroupColumns;

  uint4 low;
  uint4 high;
  uint32_t low_scale;  // halves: scale, minimum
  uint32_t high_scale;

  __device__ __forceinline__ void load(const MatrixView& w, const ThinRows& rows, int step) {
    const int group = 4 * step + threadIdx.x % 4;
    const int groups = w.columns / kGroupColumns;
    const bool valid = group < groups;
    low = load_once(rows.low + 16 * group, valid);
    high = load_once(rows.high + 16 * group, valid);
    // Codes of a group are 16 bytes: its number in the matrix follows from where they lie.
    const auto* data = static_cast<const std::byte*>(w.data);
    low_scale = valid ? load_scale(w, (rows.low - data) / 16 + group) : 0;
    high_scale = valid ? load_scale(w, (rows.high - data) / 16 + group) : 0;
  }
};

/// Lane t of four gets word t of each of the four lanes' words.
__device__ __forceinline__ void transpose_among_four(const uint4& words, Quad& out) {
  const bool odd = threadIdx.x % 2 != 0;
  const bool upper = threadIdx.x % 4 >= 2;
  const uint32_t a = __shfl_xor_sync(~0u, odd ? words.x : words.y, 1);
  const uint32_t b = __shfl_xor_sync(~0u, odd ? words.z : words.w, 1);
  const uint32_t even_low = odd ? a : words.x;
  const uint32_t odd_low = odd ? words.y : a;
  const uint32_t even_high = odd ? b : words.z;
  const uint32_t odd_high = odd ? words.w : b;
  const uint32_t c = __shfl_xor_sync(~0u, upper ? even_low : even_high, 2);
  const uint32_t d = __shfl_xor_sync(~0u, upper ? odd_low : odd_high, 2);
  out[0] = upper ? c : even_low;
  out[1] = upper ? d : odd_low;
  out[2] = upper ? even_high : c;
  out[3] = upper ? odd_high : d;
}

__device__ __forceinline__ void drop_first(Quad& words) {
#pragma unroll
  for (int i = 0; i < 3; ++i) words[i] = words[i + 1];
}

/// sum of 32 columns' products, eight a lane.
__device__ __forceinline__ void multiply_group(const Quad& low,
                                               const Quad& high,
                                               const Quad& x,
                                               float (&sum)[4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) sum[k] = 0.0f;
  multiply_add(sum, {low[0], high[0], low[1], high[1]}, x[0], x[1]);
  multiply_add(sum, {low[2], high[2], low[3], high[3]}, x[2], x[3]);
}

template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void multiply_step(
    const ThinWeights<MatrixFormat::int4> (&weights)[kOutputTiles],
    const ThinActivations& activations,
    int step,
    float (&sums)[kOutputTiles][kRowTiles][4]) {
  constexpr uint32_t kOne = 0x3f803f80;
  const int lane = threadIdx.x % 32;
  Quad low[kOutputTiles];
  Quad high[kOutputTiles];
#pragma unroll
  for (int i = 0; i < kOutputTiles; ++i) {
    transpose_among_four(weights[i].low, low[i]);
    transpose_among_four(weights[i].high, high[i]);
  }
  // Of more rows, activations of one group at a time are what registers have room for.
#pragma unroll(kRowTiles > 1 ? 1 : 4)
  for (int group = 0; group < 4; ++group) {
    const int column = ThinWeights<MatrixFormat::int4>::kStepColumns * step +
                       kGroupColumns * group + 8 * (lane % 4);
    float2 low_scale[kOutputTiles];
    float2 high_scale[kOutputTiles];
    Quad low_pairs[kOutputTiles];
    Quad high_pairs[kOutputTiles];
#pragma unroll
    for (int i = 0; i < kOutputTiles; ++i) {
      low_scale[i] = widen_scale(__shfl_sync(~0u, weights[i].low_scale, group, 4));
      high_scale[i] = widen_scale(__shfl_sync(~0u, weights[i].high_scale, group, 4));
      widen_int4(low[i][0], low_pairs[i]);
      widen_int4(high[i][0], high_pairs[i]);
      drop_first(low[i]);
      drop_first(high[i]);
    }
#pragma unroll
    for (int j = 0; j < kRowTiles; ++j) {
      Quad x;
      order_as_int4(activations.load(8 * j + lane / 4, column), x);
      float totals[4];  // of the activations, for the minima
      multiply_group({kOne, kOne, kOne, kOne}, {kOne, kOne, kOne, kOne}, x, totals);
#pragma unroll
      for (int i = 0; i < kOutputTiles; ++i) {
        float sum[4];
        multiply_group(low_pairs[i], high_pairs[i], x, sum);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const float2 scale = k < 2 ? low_scale[i] : high_scale[i];
          sums[i][j][k] += scale.x * sum[k] + scale.y * totals[k];
        }
      }
    }
  }
}

}  // namespace dms::cuda
