// Decision logits. A block computes rows x outputs of them: each thread holds its stretch of the
// rows in registers and meets one output's weights after another. Which products a thread adds, in
// which order, and the tree above depend on the width alone.

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/decisions.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;
constexpr int kStep = kThreads * 4;

__device__ __forceinline__ float add_products(float sum, float4 a, float4 b) {
  sum = fmaf(a.x, b.x, sum);
  sum = fmaf(a.y, b.y, sum);
  sum = fmaf(a.z, b.z, sum);
  return fmaf(a.w, b.w, sum);
}

__device__ __forceinline__ float4 load4(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}

/// The product and the subtraction are rounded one by one, as on the CPU.
__device__ __forceinline__ float finished(const DecisionLogitParams& params, float sum, int k) {
  if (params.bias != nullptr) sum = __fadd_rn(sum, params.bias[k]);
  const float logit = __fsub_rn(__fmul_rn(sum, params.scale), params.offset);
  return params.gelu ? gelu(logit) : logit;
}

template <int kRows, int kBlockOutputs>
__global__ void __launch_bounds__(kThreads) logits_kernel(const DecisionLogitParams params) {
  __shared__ float partial[kRows * kBlockOutputs][kWarps];
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_output = static_cast<int>(blockIdx.y) * kBlockOutputs;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  float sums[kRows][kBlockOutputs] = {};
#pragma unroll(kRows == 1 ? 4 : 1)
  for (int c = static_cast<int>(threadIdx.x) * 4; c < params.width; c += kStep) {
    float4 weights[kBlockOutputs];
#pragma unroll
    for (int k = 0; k < kBlockOutputs; ++k) {
      const int output = min(first_output + k, params.outputs - 1);
      weights[k] = load4(params.weights + static_cast<int64_t>(output) * params.width + c);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = min(first_row + r, params.rows - 1);
      const float4 x = load4(params.x + static_cast<int64_t>(row) * params.width + c);
#pragma unroll
      for (int k = 0; k < kBlockOutputs; ++k) {
        sums[r][k] = add_products(sums[r][k], x, weights[k]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int k = 0; k < kBlockOutputs; ++k) {
      const float sum = warp_sum(sums[r][k]);
      if (lane == 0) partial[r * kBlockOutputs + k][warp] = sum;
    }
  }
  __syncthreads();
  const int index = static_cast<int>(threadIdx.x);
  if (index >= kRows * kBlockOutputs) return;
  const int64_t row = first_row + index / kBlockOutputs;
  const int output = first_output + index % kBlockOutputs;
  if (row >= params.rows || output >= params.outputs) return;
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += partial[index][w];
  params.logits[row * params.stride + output * params.output_stride] =
      finished(params, sum, output);
}

template <int kRows, int kBlockOutputs>
cudaError_t launch(const DecisionLogitParams& params, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((params.rows + kRows - 1) / kRows),
                  static_cast<unsigned>((params.outputs + kBlockOutputs - 1) / kBlockOutputs));
  logits_kernel<kRows, kBlockOutputs><<<grid, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace

cudaError_t decision_logits(const DecisionLogitParams& params, cudaStream_t stream) {
  if (params.width % 4 != 0) return cudaErrorInvalidValue;
  if (params.rows == 0 || params.outputs == 0) return cudaSuccess;
  // Few logits: a block for each, all its loads under way at once. Many: each weight and each row's
  // value serve four sums.
  constexpr int64_t kFewLogits = 512;
  const int64_t logits = static_cast<int64_t>(params.rows) * params.outputs;
  return logits <= kFewLogits ? launch<1, 1>(params, stream) : launch<4, 4>(params, stream);
}

}  // namespace dms::cuda
