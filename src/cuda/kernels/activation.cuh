#pragma once
// Activations of one value, in float32.

#include "cuda/kernels/activation.h"

namespace dms::cuda {

/// x / (1 + e^-y). The quotient's last bit is of no account where bf16 follows.
__device__ __forceinline__ float logistic_product(float x, float y) {
  return __fdividef(x, 1.0f + __expf(-y));
}

/// erf's form, exact in both tails.
__device__ __forceinline__ float gelu(float x) {
  constexpr float kRootHalf = 0.707106781f;
  return x * (0.5f * erfcf(-x * kRootHalf));
}

template <ActivationKind kKind>
__device__ __forceinline__ float activated(float x) {
  constexpr float kTwoRootTwoOverPi = 1.59576912f;  // 0.5 x (1 + tanh(u)) = x / (1 + e^-2u)
  if constexpr (kKind == ActivationKind::silu) return logistic_product(x, x);
  if constexpr (kKind == ActivationKind::gelu) return gelu(x);
  if constexpr (kKind == ActivationKind::gelu_tanh) {
    return logistic_product(x, kTwoRootTwoOverPi * (x + 0.044715f * x * x * x));
  }
  return x > 0.0f ? x : 0.0f;  // relu
}

}  // namespace dms::cuda
