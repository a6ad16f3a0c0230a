#pragma once
// The activation functions as their definitions say. For the files of the generic set only.

#include <cmath>
#include <numbers>

#include "kernels/kernel_table.h"

namespace dms::kernels::generic {

inline float activate(Activation op, float x) {
  switch (op) {
    case Activation::silu:
      return x / (1.0f + std::exp(-x));
    case Activation::gelu:
      return 0.5f * x * std::erfc(-x / std::numbers::sqrt2_v<float>);
    case Activation::gelu_tanh: {
      const float root = std::sqrt(2.0f / std::numbers::pi_v<float>);
      return 0.5f * x * (1.0f + std::tanh(root * (x + 0.044715f * x * x * x)));
    }
    case Activation::relu:
      break;
  }
  return x > 0.0f ? x : 0.0f;
}

}  // namespace dms::kernels::generic
