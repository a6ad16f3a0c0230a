#pragma once
// Sums over a warp or a block by a fixed tree: the bits depend on nothing but the values.

#include <cstdint>

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

/// The same, in 3 reductions of 27 bits instead of 10 shuffles.
__device__ __forceinline__ uint64_t warp_sum_u64(uint64_t value) {
  constexpr uint32_t kPart = (1u << 27) - 1;
  const auto low = static_cast<uint32_t>(value) & kPart;
  const auto middle = static_cast<uint32_t>(value >> 27) & kPart;
  const auto high = static_cast<uint32_t>(value >> 54);
  return static_cast<uint64_t>(__reduce_add_sync(kAllLanes, low)) +
         (static_cast<uint64_t>(__reduce_add_sync(kAllLanes, middle)) << 27) +
         (static_cast<uint64_t>(__reduce_add_sync(kAllLanes, high)) << 54);
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
