#pragma once
// The product of few rows: weights stream from memory to registers once, for all rows, 16 bytes a
// lane and load, and are the tensor cores' left operand [16 outputs, 16 columns]; eight rows of
// activations are the right one.
//
// A block computes 16 or 32 outputs; its warps take turns at steps of columns, and their sums are
// added in the order of warps. So the order in which a row's products are added depends on the
// matrix's format and columns and on the warps of a block, but not on how many rows there are or
// how large the tile is.

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/matmul_weights.cuh"

namespace dms::cuda {

/// Eight columns of one row of activations; zeros behind its end. In place of rows behind the last
/// one that one is read: what comes of them is not stored.
struct ThinActivations {
  const __nv_bfloat16* x;
  int32_t rows;
  int32_t columns;

  __device__ __forceinline__ uint4 load(int row, int column) const {
    if (column >= columns) return make_uint4(0, 0, 0, 0);
    return __ldg(reinterpret_cast<const uint4*>(x + min(row, rows - 1) * columns + column));
  }
};

/// Where a lane's two rows of a tile of 16 outputs begin.
struct ThinRows {
  const std::byte* low;
  const std::byte* high;

  __device__ __forceinline__ ThinRows(const MatrixView& w, int output, int row_bytes) {
    const auto* data = static_cast<const std::byte*>(w.data);
    low = data + static_cast<int64_t>(min(output, w.rows - 1)) * row_bytes;
    high = data + static_cast<int64_t>(min(output + 8, w.rows - 1)) * row_bytes;
  }
};

/// 16 bytes that are read once, or zeros.
__device__ __forceinline__ uint4 load_once(const std::byte* data, bool valid) {
  if (!valid) return make_uint4(0, 0, 0, 0);
  return __ldcs(reinterpret_cast<const uint4*>(data));
}

/// What a lane holds of 16 outputs in one step of columns: of output g (low) and g + 8 (high).
template <MatrixFormat kFormat>
struct ThinWeights {
  static constexpr int kStepColumns = 4 * 16 * 8 / weight_bits(kFormat);

  uint4 low;
  uint4 high;

  __device__ __forceinline__ void load(const MatrixView& w, const ThinRows& rows, int step) {
    const int at = 64 * step + 16 * (threadIdx.x % 4);
    const bool valid = at < row_bytes<kFormat>(w.columns);
    low = load_once(rows.low + at, valid);
    high = load_once(rows.high + at, valid);
  }
};

using Quad = uint32_t[4];

/// Adds the products of 32 columns, eight a lane, in pairs.
template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void multiply_pairs(const Quad (&low)[kOutputTiles],
                                               const Quad (&high)[kOutputTiles],
                                               const ThinActivations& activations,
                                               int column,
                                               float (&sums)[kOutputTiles][kRowTiles][4]) {
  const int row = threadIdx.x % 32 / 4;
#pragma unroll
  for (int j = 0; j < kRowTiles; ++j) {
    const uint4 x = activations.load(8 * j + row, column);
#pragma unroll
    for (int i = 0; i < kOutputTiles; ++i) {
      multiply_add(sums[i][j], {low[i][0], high[i][0], low[i][1], high[i][1]}, x.x, x.y);
      multiply_add(sums[i][j], {low[i][2], high[i][2], low[i][3], high[i][3]}, x.z, x.w);
    }
  }
}

template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void multiply_step(
    const ThinWeights<MatrixFormat::bf16> (&weights)[kOutputTiles],
    const ThinActivations& activations,
    int step,
    float (&sums)[kOutputTiles][kRowTiles][4]) {
  Quad low[kOutputTiles];
  Quad high[kOutputTiles];
#pragma unroll
  for (int i = 0; i < kOutputTiles; ++i) {
    unpack(weights[i].low, low[i]);
    unpack(weights[i].high, high[i]);
  }
  multiply_pairs(low, high, activations, 32 * step + 8 * (threadIdx.x % 4), sums);
}

template <int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void multiply_step(
    const ThinWeights<MatrixFormat::fp8> (&weights)[kOutputTiles],
    const ThinActivations& activations,
    int step,
    float (&sums)[kOutputTiles][kRowTiles][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Quad low[kOutputTiles];
    Quad high[kOutputTiles];
#pragma unroll
    for (int i = 0; i < kOutputTiles; ++i) {
      Quad bytes;
      unpack(weights[i].low, bytes);
      widen_fp8(bytes[2 * half], low[i][0], low[i][1]);
      widen_fp8(bytes[2 * half + 1], low[i][2], low[i][3]);
      unpack(weights[i].high, bytes);
      widen_fp8(bytes[2 * half], high[i][0], high[i][1]);
      widen_fp8(bytes[2 * half + 1], high[i][2], high[i][3]);
    }
    const int column = 64 * step + 16 * (threadIdx.x % 4) + 8 * half;
    multiply_pairs(low, high, activations, column, sums);
  }
}

/// The warps' sums, added and written.
template <MatrixFormat kFormat, int kWarps, int kRowTiles, int kOutputTiles>
__device__ __forceinline__ void finish_thin(const MatmulParams& p,
                                            const float (&sums)[kOutputTiles][kRowTiles][4]) {
  constexpr int kOutputs = 16 * kOutputTiles;
  constexpr int kRows = 8 * kRowTiles;
  // Four words more keep the lanes' stores in 32 different banks.
  __shared__ float partial[kWarps][kRows][kOutputs + 4];
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
  for (int i = threadIdx.x; i < kRows * kOutputs; i += 32 * kWarps) {
    const int row = i / kOutputs;
    const int output = blockIdx.x * kOutputs + i % kOutputs;
    if (row >= p.rows || output >= p.weights.rows) continue;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += partial[w][row][i % kOutputs];
    if constexpr (kFormat == MatrixFormat::fp8) sum *= p.weights.scales[output];
    store_product(p, row, output, sum);
  }
}

/// Tiles of a lane's weights under way at a time, 32 bytes each, while as many are multiplied: what
/// registers allow. The 16 warps of a multiprocessor then have 32 or 64 KB under way; 4.8 TB/s for
/// 0.8 us are 29 KB on each of 132.
template <MatrixFormat kFormat, int kRowTiles>
inline constexpr int kTilesUnderWay = kFormat == MatrixFormat::int4 || kRowTiles > 2 ? 2 : 4;

template <MatrixFormat kFormat, int kWarps, int kRowTiles, int kOutputTiles>
__global__ void __launch_bounds__(32 * kWarps, 16 / kWarps) thin_product(MatmulParams p) {
  using Weights = ThinWeights<kFormat>;
  constexpr int kBatch = kTilesUnderWay<kFormat, kRowTiles> / kOutputTiles;
  const int warp = threadIdx.x / 32;
  const int steps = (p.weights.columns + Weights::kStepColumns - 1) / Weights::kStepColumns;
  const ThinActivations activations{p.x, p.rows, p.weights.columns};
  const int output = blockIdx.x * 16 * kOutputTiles + threadIdx.x % 32 / 4;
  float sums[kOutputTiles][kRowTiles][4] = {};
  Weights now[kBatch][kOutputTiles];
  Weights next[kBatch][kOutputTiles];
  const auto load = [&](int first_step) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kOutputTiles; ++i) {
        const ThinRows rows(p.weights, output + 16 * i, row_bytes<kFormat>(p.weights.columns));
        next[b][i].load(p.weights, rows, first_step + b * kWarps);
      }
    }
  };
  load(warp);
  for (int step = warp; step < steps; step += kBatch * kWarps) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kOutputTiles; ++i) now[b][i] = next[b][i];
    }
    load(step + kBatch * kWarps);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      // Behind the end there are zeros. A branch around them would make activations' loads wait for
      // each other, which is what many rows need to stay in their registers.
      const int at = step + b * kWarps;
      if (kRowTiles <= 2 || at < steps) multiply_step(now[b], activations, at, sums);
    }
  }
  finish_thin<kFormat, kWarps>(p, sums);
}

template <MatrixFormat kFormat, int kRowTiles>
cudaError_t launch_thin_rows(const MatmulParams& params,
                             const ProductChoice& choice,
                             cudaStream_t stream) {
  const int blocks = (params.weights.rows + choice.tile_outputs - 1) / choice.tile_outputs;
  const int threads = 32 * choice.warps;
  if (choice.warps == 16) {
    thin_product<kFormat, 16, kRowTiles, 1><<<blocks, threads, 0, stream>>>(params);
  } else if (choice.tile_outputs == 16) {
    thin_product<kFormat, 8, kRowTiles, 1><<<blocks, threads, 0, stream>>>(params);
  } else {
    thin_product<kFormat, 8, kRowTiles, 2><<<blocks, threads, 0, stream>>>(params);
  }
  return cudaGetLastError();
}

template <MatrixFormat kFormat>
cudaError_t launch_thin(const MatmulParams& params,
                        const ProductChoice& choice,
                        cudaStream_t stream) {
  if (choice.tile_rows == 8) return launch_thin_rows<kFormat, 1>(params, choice, stream);
  if (choice.tile_rows == 16) return launch_thin_rows<kFormat, 2>(params, choice, stream);
  return launch_thin_rows<kFormat, 4>(params, choice, stream);
}

}  // namespace dms::cuda
