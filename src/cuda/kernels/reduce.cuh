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

/// The sum of the values of the lanes up to this one.
template <class T>
__device__ __forceinline__ T warp_scan(T value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
#pragma unroll
  for (int step = 1; step < kWarpLanes; step *= 2) {
    const T below = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

/// `scratch`: [kThreads / 32] in shared memory, of this call alone. All threads get the sum.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  value = warp_sum(value);
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  if (lane == 0) scratch[threadIdx.x / kWarpLanes] = value;
  __syncthreads();
  constexpr int kWarps = kThreads / kWarpLanes;
  return warp_sum(lane < kWarps ? scratch[lane] : T{});
}

/// The sum of the values of the threads before this one; `total`: of all. `scratch`: [kThreads /
/// 32] in shared memory; another call may have it next.
template <int kThreads, class T>
__device__ __forceinline__ T block_scan(T value, T* scratch, T& total) {
  constexpr int kWarps = kThreads / kWarpLanes;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const T sum = warp_scan(value);
  __syncthreads();  // what a call before has left there is read
  if (lane == kWarpLanes - 1) scratch[warp] = sum;
  __syncthreads();
  T before = sum - value;
  total = T{};
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    if (i < warp) before += scratch[i];
    total += scratch[i];
  }
  return before;
}

}  // namespace dms::cuda
