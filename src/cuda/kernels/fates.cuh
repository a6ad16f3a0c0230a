#pragma once
// Which tokens go: the policies that decide each token by itself (FateRule).

#include "cuda/kernels/decisions.h"

namespace dms::cuda {

/// SplitMix64's finaliser, as policy/hash.h.
__device__ __forceinline__ uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The upper 53 bits as a number of [0, 1).
__device__ __forceinline__ double uniform(uint64_t hash) {
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

/// `head`: layer * kv_heads + kv_head. `logit`: read by the rules that have one.
__device__ __forceinline__ bool is_evicted(const FateParams& fate,
                                           int32_t head,
                                           int32_t position,
                                           float logit) {
  switch (fate.rule) {
    case FateRule::logit:
      return logit > 0.0f;
    case FateRule::threshold:
      return logit < fate.threshold;
    case FateRule::beyond:
      return true;  // the sinks stay under every rule
    case FateRule::hash: {
      const uint64_t key = mix(fate.seed ^ mix(static_cast<uint64_t>(head)));
      return uniform(mix(key ^ static_cast<uint64_t>(position))) >= fate.keep;
    }
    case FateRule::keep:
      break;
  }
  return false;
}

}  // namespace dms::cuda
