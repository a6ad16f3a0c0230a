#pragma once
// What only sm_90a has: TMA, clusters, wgmma.

#include <cuda_runtime_api.h>

namespace cuda_emulator {

inline constexpr int kTileRows = 64, kTileDepth = 64;

enum class HopperFault {
  none,
  no_proxy_fence,     // before the TMA store reads what threads wrote
  too_few_bytes,      // expected of the loads: the barrier opens early
  no_wait_for_wgmma,  // before the tile is overwritten
};

/// out = a b^T of bf16 [64, 64] each, float32 [64, 64], by TMA and wgmma.
cudaError_t multiply_tile(const void* a,
                          const void* b,
                          float* out,
                          HopperFault fault = HopperFault::none);

/// out[i] = the sum over a cluster of 4 blocks of in[block, i ^ 1]; [8, 32] each.
cudaError_t sum_over_cluster(const int* in, int* out);

}  // namespace cuda_emulator
