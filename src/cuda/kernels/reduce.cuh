#pragma once
// Sums over a warp or a block by a fixed tree: the bits depend on nothing but the values.

namespace dms::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarpLanes = 32;

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = kWarpLanes / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, step);
  }
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int step = kWarpLanes / 2; step > 0; step /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  return value;
}

/// `scratch`: [kThreads / 32] in shared memory, of this call alone. All threads get the sum.
template <int kThreads>
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  if (lane == 0) scratch[threadIdx.x / kWarpLanes] = value;
  __syncthreads();
  constexpr int kWarps = kThreads / kWarpLanes;
  return warp_sum(lane < kWarps ? scratch[lane] : 0.0f);
}

}  // namespace dms::cuda
