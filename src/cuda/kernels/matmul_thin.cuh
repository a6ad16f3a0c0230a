#pragma once
// The product of few rows: weights stream from memory to registers once, for all rows, 16 bytes a
// lane and load, and are the tensor cores' left operand [16 outputs, 16 columns]; eight rows of
// activations are the right one.
//
// A block computes 16 or 32 outputs; its eight warps take turns at steps of columns, and their sums
// are added in the order of warps. So the order in which a row's products are added depends on the
// matrix's format and columns alone, not on how many rows there are or which tile was chosen.

#include <cstdint>

#include "cuda/kernels/matmul_weights.cuh"

namespace dms::cuda {

inline constexpr int kThinWarps = 8;

/// A lane's activations: columns [column, column + 8) of row `row`, or zeros.
__device__ __forceinline__ uint4 load_activations(const MatmulParams& p, int row, int column) {
  if (row >= p.rows || column >= p.weights.columns) return make_uint4(0, 0, 0, 0);
  return __ldg(
      reinterpret_cast<const uint4*>(p.x + static_cast<int64_t>(row) * p.weights.columns + column));
}

/// 16 bytes of a matrix that is read once, or zeros.
__device__ __forceinline__ uint4 load_once(const void* data, int64_t at, bool valid) {
  if (!valid) return make_uint4(0, 0, 0, 0);
  return __ldcs(reinterpret_cast<const uint4*>(static_cast<const std::byte*>(data) + at));
}

/// What a lane holds of 16 outputs (rows g and g + 8 of the tile) in one step of columns.
template <MatrixFormat kFormat>
struct ThinWeights;

template <>
struct ThinWeights<MatrixFormat::bf16> {
  static constexpr int kStepColumns = 32;

  uint4 low;
  uint4 high;

  __device__ __forceinline__ void load(const MatrixView& w, int row, int next, int step) {
    const int column = step * kStepColumns + threadIdx.x % 4 * 8;
    const bool valid = column < w.columns;
    low = load_once(w.data, 2 * (static_cast<int64_t>(row) * w.columns + column), valid);
    high = load_once(w.data, 2 * (static_cast<int64_t>(next) * w.columns + column), valid);
  }
};

template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void multiply_step(
    const MatmulParams& p,
    const ThinWeights<MatrixFormat::bf16> (&weights)[kOutputTiles],
    int first_row,
    int step,
    float (&sums)[kOutputTiles][kRowTiles][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int j = 0; j < kRowTiles; ++j) {
    const uint4 x =
        load_activations(p, first_row + 8 * j + lane / 4, step * kGroupColumns + lane % 4 * 8);
#pragma unroll
    for (int i = 0; i < kOutputTiles; ++i) {
      const uint4& low = weights[i].low;
      const uint4& high = weights[i].high;
      multiply_add(sums[i][j], {low.x, high.x, low.y, high.y}, x.x, x.y);
      multiply_add(sums[i][j], {low.z, high.z, low.w, high.w}, x.z, x.w);
    }
  }
}

/// The warps' sums, added and written.
template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void finish_thin(const MatmulParams& p,
                                            int first_output,
                                            int first_row,
                                            const float (&sums)[kOutputTiles][kRowTiles][4]) {
  constexpr int kOutputs = 16 * kOutputTiles;
  constexpr int kRows = 8 * kRowTiles;
  // Four words more keep the lanes' stores in 32 different banks.
  __shared__ float partial[kThinWarps][kRows][kOutputs + 4];
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kOutputTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kRowTiles; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        partial[warp][8 * j + lane % 4 * 2 + k % 2][16 * i + lane / 4 + k / 2 * 8] = sums[i][j][k];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kRows * kOutputs; i += 32 * kThinWarps) {
    const int row = first_row + i / kOutputs;
    const int output = first_output + i % kOutputs;
    if (row >= p.rows || output >= p.weights.rows) continue;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kThinWarps; ++w) sum += partial[w][i / kOutputs][i % kOutputs];
    if (p.weights.format == MatrixFormat::fp8) sum *= p.weights.scales[output];
    store_product(p, row, output, sum);
  }
}

template <MatrixFormat kFormat, int kRowTiles, int kOutputTiles>
__global__ void __launch_bounds__(32 * kThinWarps, 2) thin_product(MatmulParams p) {
  using Weights = ThinWeights<kFormat>;
  // Steps whose weights are under way at a time: 128 bytes a lane, and as many being multiplied.
  constexpr int kBatch = 4 / kOutputTiles;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int first_output = blockIdx.x * 16 * kOutputTiles;
  const int first_row = blockIdx.y * 8 * kRowTiles;
  const int steps = (p.weights.columns + Weights::kStepColumns - 1) / Weights::kStepColumns;
  const int last = p.weights.rows - 1;
  float sums[kOutputTiles][kRowTiles][4] = {};
  Weights batch[kBatch][kOutputTiles];
  Weights next[kBatch][kOutputTiles];
  const auto load = [&](int first_step) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kOutputTiles; ++i) {
        const int output = first_output + 16 * i + lane / 4;
        next[b][i].load(
            p.weights, min(output, last), min(output + 8, last), first_step + b * kThinWarps);
      }
    }
  };
  load(warp);
  for (int step = warp; step < steps; step += kBatch * kThinWarps) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kOutputTiles; ++i) batch[b][i] = next[b][i];
    }
    load(step + kBatch * kThinWarps);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      multiply_step(p, batch[b], first_row, step + b * kThinWarps, sums);
    }
  }
  finish_thin(p, first_output, first_row, sums);
}

}  // namespace dms::cuda
