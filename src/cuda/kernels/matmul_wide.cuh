#pragma once
// The product of many rows: tiles of 64 or 128 rows and 128 outputs, 32 columns a step, copied
// asynchronously into a ring in shared memory, multiplied by mma.sync. Weights lie in the ring as
// they are stored; what is not bf16 becomes bf16 on its way into registers.
//
// Lanes read neighbouring columns and give them to the places that the instruction has for them
// (matmul_weights.cuh), 16 bytes at a time: rows of 64 bytes then need neither ldmatrix nor a
// swizzle, since the eight lanes of a quarter of a warp read 128 bytes in a row.
//
// A row's products are added by rising column, whatever the tile and the number of rows.

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/matmul_weights.cuh"

namespace dms::cuda {

inline constexpr int kWideWarps = 8;  // two of them beside each other in rows, four in outputs
inline constexpr int kWideThreads = 32 * kWideWarps;
inline constexpr int kWideOutputs = 128;
inline constexpr int kStepColumns = 32;
inline constexpr int kStages = 4;
inline constexpr int kStepRowBytes = 2 * kStepColumns;  // of activations

template <MatrixFormat kFormat, int kTileRows>
struct WideTile {
  static constexpr int kWeightBytes = row_bytes<kFormat>(kStepColumns);  // of a row
  static constexpr int kWeightsAt = kTileRows * kStepRowBytes;
  static constexpr int kStageBytes = kWeightsAt + kWideOutputs * kWeightBytes;
  static constexpr int kBytes = kStages * kStageBytes;
  static constexpr int kRowTiles = kTileRows / 2 / 16;  // of a warp, 16 rows each
  static constexpr int kOutputTiles = 4;                // of a warp, 8 outputs each
};

/// 16-byte pieces of kRows rows that this thread copies in each step.
template <int kRows, int kPieces>
struct StepCopy {
  static constexpr int kCount = (kRows * kPieces + kWideThreads - 1) / kWideThreads;

  const std::byte* from[kCount];
  bool valid[kCount];

  __device__ __forceinline__ StepCopy(const void* data, int first, int rows, int bytes) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int piece = threadIdx.x + i * kWideThreads;
      const int row = first + piece / kPieces;
      valid[i] = row < rows;
      from[i] = static_cast<const std::byte*>(data) +
                static_cast<int64_t>(min(row, rows - 1)) * bytes + 16 * (piece % kPieces);
    }
  }

  __device__ __forceinline__ void start(uint32_t to, int step) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int piece = threadIdx.x + i * kWideThreads;
      if (piece >= kRows * kPieces) continue;
      copy_async_16(to + 16 * piece, from[i] + 16 * kPieces * step, valid[i]);
    }
  }
};

/// What a lane's codes of one step are under: nothing here; FP8's scales come last, to the sums.
template <MatrixFormat kFormat>
struct WideScales {
  __device__ __forceinline__ void load(const MatrixView&, int, int) {}
};

/// int4: of the step's group, for each of the lane's four outputs.
template <>
struct WideScales<MatrixFormat::int4> {
  uint32_t values[4];  // halves: scale, minimum

  __device__ __forceinline__ void load(const MatrixView& w, int first_output, int step) {
    const int groups = w.columns / kGroupColumns;
    if (step >= groups) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t output = min(first_output + 8 * i, w.rows - 1);
      const int64_t at = output * groups + step;
      values[i] = load_scale(w, at);
    }
  }
};

__device__ __forceinline__ float low_float(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_float(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000);
}

/// `at`: the lane's columns in its output's row.
__device__ __forceinline__ void read_weights(const std::byte* at,
                                             const WideScales<MatrixFormat::bf16>&,
                                             int,
                                             uint32_t (&pairs)[4]) {
  unpack(*reinterpret_cast<const uint4*>(at), pairs);
}
__device__ __forceinline__ void read_weights(const std::byte* at,
                                             const WideScales<MatrixFormat::fp8>&,
                                             int,
                                             uint32_t (&pairs)[4]) {
  const uint2 bytes = *reinterpret_cast<const uint2*>(at);
  widen_fp8(bytes.x, pairs[0], pairs[1]);
  widen_fp8(bytes.y, pairs[2], pairs[3]);
}
__device__ __forceinline__ void read_weights(const std::byte* at,
                                             const WideScales<MatrixFormat::int4>& scales,
                                             int tile,
                                             uint32_t (&pairs)[4]) {
  const float2 scale = widen_scale(scales.values[tile]);
  const auto weight = [&](float code) { return fmaf(scale.x, code, scale.y); };
  uint32_t codes[4];
  widen_int4(*reinterpret_cast<const uint32_t*>(at), codes);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t first = codes[2 * i];
    const uint32_t second = codes[2 * i + 1];
    pairs[i] = pack_bf16(weight(low_float(first)), weight(low_float(second)));
    pairs[i + 2] = pack_bf16(weight(high_float(first)), weight(high_float(second)));
  }
}

/// One step's products of a warp's rows and outputs.
template <MatrixFormat kFormat, int kTileRows>
__device__ __forceinline__ void multiply_stage(
    const std::byte* stage,
    const WideScales<kFormat>& scales,
    float (&sums)[WideTile<kFormat, kTileRows>::kRowTiles][4][4]) {
  using Tile = WideTile<kFormat, kTileRows>;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int row = warp / 4 * 16 * Tile::kRowTiles + lane / 4;
  const int output = warp % 4 * 32 + lane / 4;
  const std::byte* x = stage + row * kStepRowBytes + 16 * (lane % 4);
  const std::byte* w =
      stage + Tile::kWeightsAt + output * Tile::kWeightBytes + Tile::kWeightBytes / 4 * (lane % 4);
  uint4 low[Tile::kRowTiles];
  uint4 high[Tile::kRowTiles];
#pragma unroll
  for (int i = 0; i < Tile::kRowTiles; ++i) {
    low[i] = *reinterpret_cast<const uint4*>(x + 16 * i * kStepRowBytes);
    high[i] = *reinterpret_cast<const uint4*>(x + (16 * i + 8) * kStepRowBytes);
  }
#pragma unroll
  for (int j = 0; j < Tile::kOutputTiles; ++j) {
    uint32_t pairs[4];
    read_weights(w + 8 * j * Tile::kWeightBytes, scales, j, pairs);
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
      multiply_add(sums[i][j], {low[i].x, high[i].x, low[i].y, high[i].y}, pairs[0], pairs[1]);
      multiply_add(sums[i][j], {low[i].z, high[i].z, low[i].w, high[i].w}, pairs[2], pairs[3]);
    }
  }
}

/// Two neighbouring outputs of a row, together where all rows begin at an even place.
template <MatrixFormat kFormat>
__device__ __forceinline__ void store_pair(
    const MatmulParams& p, int row, int output, float first, float second) {
  const int outputs = p.weights.rows;
  if (row >= p.rows || output >= outputs) return;
  const bool has_second = output + 1 < outputs;
  if constexpr (kFormat == MatrixFormat::fp8) {
    first *= p.weights.scales[output];
    if (has_second) second *= p.weights.scales[output + 1];
  }
  if (outputs % 2 != 0) {
    store_product(p, row, output, first);
    if (has_second) store_product(p, row, output + 1, second);
    return;
  }
  const int64_t at = static_cast<int64_t>(row) * outputs + output;
  if (p.out_bf16 != nullptr) {
    *reinterpret_cast<uint32_t*>(p.out_bf16 + at) = pack_bf16(first, second);
    return;
  }
  auto* to = reinterpret_cast<float2*>(p.out + at);
  const float2 before = p.accumulate ? *to : make_float2(0.0f, 0.0f);
  *to = make_float2(before.x + first, before.y + second);
}

template <MatrixFormat kFormat, int kTileRows>
__global__ void __launch_bounds__(kWideThreads, 2) wide_product(MatmulParams p) {
  using Tile = WideTile<kFormat, kTileRows>;
  extern __shared__ __align__(16) std::byte ring[];
  const int first_row = blockIdx.x * kTileRows;
  const int first_output = blockIdx.y * kWideOutputs;
  const int steps = p.weights.columns / kStepColumns;
  const StepCopy<kTileRows, kStepRowBytes / 16> rows(p.x, first_row, p.rows, 2 * p.weights.columns);
  const StepCopy<kWideOutputs, Tile::kWeightBytes / 16> weights(
      p.weights.data, first_output, p.weights.rows, row_bytes<kFormat>(p.weights.columns));
  const auto copy = [&](int step) {
    const uint32_t to = shared_address(ring) + step % kStages * Tile::kStageBytes;
    if (step < steps) {
      rows.start(to, step);
      weights.start(to + Tile::kWeightsAt, step);
    }
    commit_copies();
  };
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int output = first_output + warp % 4 * 32 + lane / 4;
  WideScales<kFormat> next_scales;
  next_scales.load(p.weights, output, 0);
  float sums[Tile::kRowTiles][Tile::kOutputTiles][4] = {};
  for (int step = 0; step < kStages - 1; ++step) copy(step);
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // all have their part of this stage, and none reads the one before it
    copy(step + kStages - 1);
    const WideScales<kFormat> scales = next_scales;
    next_scales.load(p.weights, output, step + 1);
    multiply_stage<kFormat, kTileRows>(ring + step % kStages * Tile::kStageBytes, scales, sums);
  }
  const int row = first_row + warp / 4 * 16 * Tile::kRowTiles + lane / 4;
#pragma unroll
  for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < Tile::kOutputTiles; ++j) {
      const int at = first_output + warp % 4 * 32 + 8 * j + 2 * (lane % 4);
      store_pair<kFormat>(p, row + 16 * i, at, sums[i][j][0], sums[i][j][1]);
      store_pair<kFormat>(p, row + 16 * i + 8, at, sums[i][j][2], sums[i][j][3]);
    }
  }
}

template <MatrixFormat kFormat, int kTileRows>
cudaError_t launch_wide_rows(const MatmulParams& params, cudaStream_t stream) {
  // Tiles that share weights follow one another, so that weights are read from memory once.
  const dim3 grid((params.rows + kTileRows - 1) / kTileRows,
                  (params.weights.rows + kWideOutputs - 1) / kWideOutputs);
  wide_product<kFormat, kTileRows>
      <<<grid, kWideThreads, WideTile<kFormat, kTileRows>::kBytes, stream>>>(params);
  return cudaGetLastError();
}

template <MatrixFormat kFormat>
cudaError_t launch_wide(const MatmulParams& params,
                        const ProductChoice& choice,
                        cudaStream_t stream) {
  return choice.tile_rows == 64 ? launch_wide_rows<kFormat, 64>(params, stream)
                                : launch_wide_rows<kFormat, 128>(params, stream);
}

template <MatrixFormat kFormat>
cudaError_t prepare_wide() {
  const cudaError_t status = cudaFuncSetAttribute(wide_product<kFormat, 64>,
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  WideTile<kFormat, 64>::kBytes);
  if (status != cudaSuccess) return status;
  return cudaFuncSetAttribute(wide_product<kFormat, 128>,
                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                              WideTile<kFormat, 128>::kBytes);
}

}  // namespace dms::cuda
