#include <cstdint>

#include "faults.h"

namespace cuda_emulator {
namespace {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ __forceinline__ void mbarrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}
__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier) {
  asm volatile("{ .reg .b64 s; mbarrier.arrive.shared.b64 s, [%0]; }" ::"r"(shared_address(barrier))
               : "memory");
}
__device__ __forceinline__ void mbarrier_arrive_many(uint64_t* barrier, int arrivals) {
  asm volatile("{ .reg .b64 s; mbarrier.arrive.noComplete.shared.b64 s, [%0], %1; }" ::"r"(
                   shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
__device__ __forceinline__ void mbarrier_wait(uint64_t* barrier, int parity) {
  asm volatile(
      "{ .reg .pred p;\n"
      "again: mbarrier.test_wait.parity.shared.b64 p, [%0], %1;\n"
      "@!p bra again; }" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}
__device__ __forceinline__ void copy_async(float* shared, const float* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(shared)), "l"(global)
               : "memory");
}
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

/// The product of zeros, in a tensor core.
__device__ __forceinline__ float zero_by_mma() {
  float d[4] = {0, 0, 0, 0};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(0));
  return d[0];
}

/// Kernels that fail at one access or one collective operation.
template <Fault kFault, bool kBroken>
__device__ __forceinline__ float access(const float* in, int thread) {
  const int other = (thread + 32) % kFaultThreads;
  if constexpr (kFault == Fault::global_out_of_bounds) {
    return in[kBroken && thread == 31 ? kFaultThreads : other];
  } else if constexpr (kFault == Fault::misaligned_global) {
    const char* const bytes = reinterpret_cast<const char*>(in + other);
    return *reinterpret_cast<const float*>(bytes + (kBroken && thread == 5 ? 2 : 0));
  } else if constexpr (kFault == Fault::shuffle_of_inactive_lane) {
    const float value = in[other];
    if (kBroken && thread % 32 == 31) return value;
    return __shfl_sync(kBroken ? 0x7fffffffu : ~0u, value, thread % 32 == 0 ? 31 : thread % 32) +
           (thread % 32 == 0 ? value - in[(other / 32) * 32 + 31] : 0.0f);
  } else if constexpr (kFault == Fault::lane_outside_its_mask) {
    return in[other] +
           static_cast<float>(__popc(__ballot_sync(kBroken ? 0xffffu : ~0u, true)) - 32);
  } else {
    static_assert(kFault == Fault::divergent_mma);
    const float value = in[other];
    if (kBroken && thread % 2 == 0) return value + zero_by_mma();
    return value - zero_by_mma();
  }
}

/// Kernels that pass their values through shared memory.
template <Fault kFault, bool kBroken>
__device__ __forceinline__ float exchange(const float* in, float* shared, int thread) {
  const int other = (thread + 32) % kFaultThreads;
  if constexpr (kFault == Fault::copy_not_waited_for || kFault == Fault::copy_overwrites_read) {
    copy_async(shared + thread, in + thread);
    if (!kBroken || kFault == Fault::copy_overwrites_read) wait_for_copies();
    __syncthreads();
    const float value = shared[other];
    if constexpr (kFault == Fault::copy_overwrites_read) {
      if (!kBroken) __syncthreads();
      copy_async(shared + thread, in + other);
      wait_for_copies();
    }
    return value;
  } else if constexpr (kFault == Fault::race_within_warp) {
    const int neighbour = thread ^ 1;
    shared[thread] = in[(neighbour + 32) % kFaultThreads];
    if (!kBroken) __syncwarp();
    return static_cast<volatile float*>(shared)[neighbour];
  } else {
    const bool skips = kFault == Fault::uninitialised_shared && kBroken && thread == 7;
    if (!skips) shared[thread] = in[thread];
    if (kFault == Fault::barrier_not_by_all && kBroken) {
      asm volatile("barrier.sync 1, 96;" ::: "memory");
    } else if (kFault != Fault::race_between_warps || !kBroken) {
      __syncthreads();
    }
    if (kFault == Fault::shared_out_of_bounds && kBroken && thread == 3) return shared[1 << 15];
    if (kFault == Fault::misaligned_shared && kBroken && thread == 3) {
      return *reinterpret_cast<float*>(reinterpret_cast<char*>(shared) + 1);
    }
    return static_cast<volatile float*>(shared)[other];
  }
}

/// Kernels that synchronise by an mbarrier.
template <Fault kFault, bool kBroken>
__device__ __forceinline__ float exchange_by_mbarrier(const float* in,
                                                      float* shared,
                                                      uint64_t* barrier,
                                                      int thread) {
  const bool initialises = kFault != Fault::mbarrier_not_initialised || !kBroken;
  if (thread == 0 && initialises) mbarrier_init(barrier, kFaultThreads);
  __syncthreads();
  shared[thread] = in[thread];
  if (kFault == Fault::mbarrier_overwritten && kBroken && thread == 40) {
    reinterpret_cast<volatile float*>(barrier)[0] = 1;
  }
  if (kFault == Fault::too_many_arrivals && kBroken && thread == 0) {
    mbarrier_arrive_many(barrier, kFaultThreads + 1);
  }
  mbarrier_arrive(barrier);
  mbarrier_wait(barrier, 0);
  if (kFault == Fault::wrong_parity && kBroken) mbarrier_wait(barrier, 1);  // of the next phase
  return static_cast<volatile float*>(shared)[(thread + 32) % kFaultThreads];
}

template <Fault kFault>
constexpr bool kUsesMbarrier =
    kFault == Fault::wrong_parity || kFault == Fault::mbarrier_not_initialised ||
    kFault == Fault::mbarrier_overwritten || kFault == Fault::too_many_arrivals;

template <Fault kFault>
constexpr bool kAccessesOnly =
    kFault == Fault::global_out_of_bounds || kFault == Fault::misaligned_global ||
    kFault == Fault::shuffle_of_inactive_lane || kFault == Fault::lane_outside_its_mask ||
    kFault == Fault::divergent_mma;

template <Fault kFault, bool kBroken>
__global__ void __launch_bounds__(kFaultThreads) fault_kernel(const float* in, float* out) {
  __shared__ float shared[kFaultThreads];
  __shared__ uint64_t barrier;
  const int thread = static_cast<int>(threadIdx.x);
  float value;
  if constexpr (kUsesMbarrier<kFault>) {
    value = exchange_by_mbarrier<kFault, kBroken>(in, shared, &barrier, thread);
  } else if constexpr (kAccessesOnly<kFault>) {
    value = access<kFault, kBroken>(in, thread);
  } else {
    value = exchange<kFault, kBroken>(in, shared, thread);
  }
  out[thread] = value + 1;
}

template <Fault kFault>
void launch(bool is_broken, const float* in, float* out) {
  if (is_broken) {
    fault_kernel<kFault, true><<<1, kFaultThreads>>>(in, out);
  } else {
    fault_kernel<kFault, false><<<1, kFaultThreads>>>(in, out);
  }
}

/// Launches the fault of that number among those from kFirst on.
template <int kFirst>
void launch_from(Fault fault, bool is_broken, const float* in, float* out) {
  constexpr Fault kFault = static_cast<Fault>(kFirst);
  if (fault == kFault) return launch<kFault>(is_broken, in, out);
  if constexpr (kFault != Fault::divergent_mma) launch_from<kFirst + 1>(fault, is_broken, in, out);
}

}  // namespace

cudaError_t run(Fault fault, bool is_broken, const float* in, float* out) {
  launch_from<0>(fault, is_broken, in, out);
  return cudaGetLastError();
}

}  // namespace cuda_emulator
