#pragma once
// Kernels with a planted bug each, and the same without it.

#include <cuda_runtime_api.h>

namespace cuda_emulator {

enum class Fault {
  global_out_of_bounds,
  misaligned_global,
  shared_out_of_bounds,
  misaligned_shared,
  uninitialised_shared,  // found by its NaN
  race_between_warps,    // found by the race check
  race_within_warp,      // likewise
  copy_not_waited_for,   // found by its NaN where copies land late
  copy_overwrites_read,  // found by the race check
  wrong_parity,          // a deadlock
  barrier_not_by_all,    // a deadlock
  mbarrier_not_initialised,
  mbarrier_overwritten,
  too_many_arrivals,
  shuffle_of_inactive_lane,
  lane_outside_its_mask,
  divergent_mma,
};

inline constexpr int kFaultThreads = 64;

/// out[i] = in[(i + 32) % 64] + 1, by one block. A broken kernel's error is that of its launch.
cudaError_t run(Fault fault, bool is_broken, const float* in, float* out);

}  // namespace cuda_emulator
