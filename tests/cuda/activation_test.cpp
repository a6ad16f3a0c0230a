// The MLP's activation beside doubles.

#include "cuda/kernels/activation.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/cache_case.h"

namespace dms::cuda {
namespace {

double activated(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return x / (1.0 + std::exp(-x));
    case ActivationKind::gelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case ActivationKind::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationKind::relu:
      break;
  }
  return x > 0.0 ? x : 0.0;
}

constexpr ActivationKind kKinds[] = {
    ActivationKind::silu, ActivationKind::gelu, ActivationKind::gelu_tanh, ActivationKind::relu};

void expect_right(ActivationKind kind, bool gated, bool has_bias, int32_t rows, int32_t width) {
  std::mt19937 random(static_cast<uint32_t>(width));
  const int32_t columns = gated ? 2 * width : width;
  std::vector<float> x = random_bf16(static_cast<size_t>(rows * columns), random);
  for (float& value : x) value *= 4.0f;  // far into the tails
  const std::vector<float> bias = random_bf16(static_cast<size_t>(columns), random);
  const DeviceBuffer<uint16_t> device_x(bf16_bits(x));
  const DeviceBuffer<float> device_bias(bias);
  DeviceBuffer<uint16_t> out(static_cast<size_t>(rows * width));
  require_cuda(activate({.kind = kind,
                         .gated = gated,
                         .x = reinterpret_cast<const __nv_bfloat16*>(device_x.get()),
                         .bias = has_bias ? device_bias.get() : nullptr,
                         .out = reinterpret_cast<__nv_bfloat16*>(out.get()),
                         .rows = rows,
                         .width = width},
                        nullptr));
  wait_for_device();
  const std::vector<uint16_t> got = out.download();
  const auto at = [&](int32_t row, int32_t column) {
    const double value = x[static_cast<size_t>(row * columns + column)];
    return value + (has_bias ? bias[static_cast<size_t>(column)] : 0.0f);
  };
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t c = 0; c < width; ++c) {
      const int32_t column = gated ? c / 16 * 32 + c % 16 : c;
      const double want = activated(kind, at(row, column)) * (gated ? at(row, column + 16) : 1.0);
      // Half a unit of bf16's last place, and a little of float32's.
      const float value = to_float({got[static_cast<size_t>(row * width + c)]});
      EXPECT_NEAR(value, want, std::abs(want) * 0x1.1p-8 + 1e-6) << "row " << row << " of " << c;
    }
  }
}

TEST(Activate, ServesAllKindsAndWidths) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const ActivationKind kind : kKinds) {
    for (const bool has_bias : {false, true}) {
      for (const int32_t width : {16, 48, 1024, 1040}) expect_right(kind, true, has_bias, 3, width);
      for (const int32_t width : {8, 40, 1032}) expect_right(kind, false, has_bias, 2, width);
    }
  }
}

TEST(Activate, KeepsLargeValuesFinite) {
  DMS_NEEDS_CUDA_DEVICE();
  const std::vector<float> x{-3e38f, -1000.0f, -90.0f, -0.0f, 0.0f, 90.0f, 1000.0f, 3e38f};
  const DeviceBuffer<uint16_t> device_x(bf16_bits(x));
  for (const ActivationKind kind : {ActivationKind::silu, ActivationKind::gelu}) {
    DeviceBuffer<uint16_t> out(x.size());
    require_cuda(activate({.kind = kind,
                           .gated = false,
                           .x = reinterpret_cast<const __nv_bfloat16*>(device_x.get()),
                           .out = reinterpret_cast<__nv_bfloat16*>(out.get()),
                           .rows = 1,
                           .width = 8},
                          nullptr));
    wait_for_device();
    const std::vector<uint16_t> got = out.download();
    for (size_t i = 0; i < x.size(); ++i) {
      const float want = x[i] > 0.0f ? to_float(to_bf16(x[i])) : 0.0f;
      EXPECT_NEAR(to_float({got[i]}), want, 1e-30f) << x[i];
    }
  }
}

TEST(Activate, RefusesHalfAGate) {
  EXPECT_EQ(activate({.rows = 1, .width = 24}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace dms::cuda
