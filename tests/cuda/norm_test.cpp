// Norms beside doubles; copies of rows exactly.

#include "cuda/kernels/norm.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/cache_case.h"

namespace dms::cuda {
namespace {

struct NormCase {
  NormKind kind = NormKind::rms;
  int32_t rows = 2;
  int32_t width = 64;
  bool bias = false;
  bool has_out = true;
  bool has_f32 = true;
  float mean = 0.0f;
};

std::vector<float> numbers(size_t count, float mean, std::mt19937& random) {
  std::normal_distribution<float> normal(mean);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<double> reference(const NormCase& c,
                              std::span<const float> x,
                              std::span<const float> scale,
                              std::span<const float> bias,
                              float eps) {
  double mean = 0.0;
  if (c.kind == NormKind::layer) {
    for (const float value : x) mean += value;
    mean /= c.width;
  }
  double squares = 0.0;
  for (const float value : x) squares += (value - mean) * (value - mean);
  const double factor = 1.0 / std::sqrt(squares / c.width + eps);
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = (x[i] - mean) * factor * scale[i] + (c.bias ? bias[i] : 0.0f);
  }
  return out;
}

/// Returns the unrounded rows, of which the first is the same in all cases of a width.
std::vector<float> expect_right(const NormCase& c) {
  std::mt19937 random(static_cast<uint32_t>(c.width));
  constexpr float kEps = 1e-3f;
  const auto width = static_cast<size_t>(c.width);
  const std::vector<float> scale = numbers(width, 1.0f, random);
  const std::vector<float> bias = numbers(width, 0.0f, random);
  const std::vector<float> x = numbers(width * static_cast<size_t>(c.rows), c.mean, random);
  const DeviceBuffer<float> device_x(x);
  const DeviceBuffer<float> device_scale(scale);
  const DeviceBuffer<float> device_bias(bias);
  DeviceBuffer<uint16_t> out(x.size());
  DeviceBuffer<float> out_f32(x.size());
  const NormParams params{.kind = c.kind,
                          .x = device_x.get(),
                          .scale = device_scale.get(),
                          .bias = c.bias ? device_bias.get() : nullptr,
                          .out = c.has_out ? reinterpret_cast<__nv_bfloat16*>(out.get()) : nullptr,
                          .out_f32 = c.has_f32 ? out_f32.get() : nullptr,
                          .rows = c.rows,
                          .width = c.width,
                          .eps = kEps};
  require_cuda(norm(params, nullptr));
  wait_for_device();
  const std::vector<float> unrounded = out_f32.download();
  const std::vector<uint16_t> rounded = out.download();
  for (size_t row = 0; row < static_cast<size_t>(c.rows); ++row) {
    const std::vector<double> want =
        reference(c, std::span(x).subspan(row * width, width), scale, bias, kEps);
    for (size_t i = 0; i < width; ++i) {
      const size_t at = row * width + i;
      const double bound = 1e-5 * (1.0 + std::abs(want[i]) + std::abs(c.mean));
      if (c.has_f32) {
        EXPECT_NEAR(unrounded[at], want[i], bound) << "row " << row << " of " << i;
        const uint16_t bits = to_bf16(unrounded[at]).bits;
        EXPECT_EQ(rounded[at], c.has_out ? bits : 0xffffu);
      } else {
        EXPECT_NEAR(to_float({rounded[at]}), want[i], bound + std::abs(want[i]) / 200);
      }
    }
  }
  return unrounded;
}

TEST(Norm, ServesAllWidths) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const NormKind kind : {NormKind::rms, NormKind::layer}) {
    // Up to and beyond what one step, four steps and the registers hold.
    for (const int32_t width : {8, 16, 72, 576, 1016, 1024, 1032, 2048, 4096, 4104, 5120, 16384}) {
      SCOPED_TRACE(width);
      expect_right({.kind = kind, .rows = width < 4096 ? 3 : 1, .width = width, .bias = true});
    }
  }
}

TEST(Norm, ServesAllOutputs) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const bool has_f32 : {false, true}) {
    for (const bool bias : {false, true}) {
      expect_right({.bias = bias, .has_out = true, .has_f32 = has_f32});
    }
  }
  expect_right({.has_out = false});
}

TEST(Norm, TakesTheMeanAwayBeforeItSquares) {
  DMS_NEEDS_CUDA_DEVICE();
  expect_right({.kind = NormKind::layer, .width = 128, .mean = 100.0f});
}

TEST(Norm, GivesARowTheSameBitsInAnyBatch) {
  DMS_NEEDS_CUDA_DEVICE();
  const std::vector<float> alone = expect_right({.rows = 1, .width = 1032});
  const std::vector<float> together = expect_right({.rows = 5, .width = 1032});
  EXPECT_TRUE(std::ranges::equal(alone, std::span(together).first(alone.size())));
}

TEST(Norm, WorksInPlace) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(1);
  const std::vector<float> x = numbers(2 * 72, 0.0f, random);
  const std::vector<float> scale = numbers(72, 1.0f, random);
  DeviceBuffer<float> rows(x);
  DeviceBuffer<float> other(x.size());
  const DeviceBuffer<float> device_scale(scale);
  NormParams params{.x = rows.get(), .scale = device_scale.get(), .rows = 2, .width = 72};
  params.out_f32 = other.get();
  require_cuda(norm(params, nullptr));
  params.out_f32 = rows.get();
  require_cuda(norm(params, nullptr));
  wait_for_device();
  EXPECT_EQ(rows.download(), other.download());
}

TEST(Norm, RefusesWidthsThatItCannotHold) {
  NormParams params{.rows = 1};
  for (const int32_t width : {6, kMostNormWidth + 8}) {
    params.width = width;
    EXPECT_EQ(norm(params, nullptr), cudaErrorInvalidValue) << width;
  }
}

TEST(Embed, ScalesRowsOfTheTable) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t width : {8, 64, 2048, 2056}) {
    std::mt19937 random(1);
    const std::vector<float> table = random_bf16(static_cast<size_t>(5 * width), random);
    const DeviceBuffer<uint16_t> device_table(bf16_bits(table));
    const std::vector<int32_t> tokens{4, 0, 3};
    const DeviceBuffer<int32_t> device_tokens(tokens);
    DeviceBuffer<float> out(static_cast<size_t>(3 * width));
    require_cuda(embed({.table = reinterpret_cast<const __nv_bfloat16*>(device_table.get()),
                        .tokens = device_tokens.get(),
                        .out = out.get(),
                        .rows = 3,
                        .width = width,
                        .scale = 1.7f},
                       nullptr));
    wait_for_device();
    std::vector<float> want;
    for (const int32_t token : tokens) {
      for (int32_t c = 0; c < width; ++c) {
        want.push_back(table[static_cast<size_t>(token * width + c)] * 1.7f);
      }
    }
    EXPECT_EQ(out.download(), want) << width;
  }
}

TEST(GatherRows, CopiesTheRowsThatAreNamed) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t width : {8, 1024, 1032}) {
    std::mt19937 random(1);
    const std::vector<float> x = numbers(static_cast<size_t>(6 * width), 0.0f, random);
    const DeviceBuffer<float> device_x(x);
    const std::vector<int32_t> row_of{5, 0, 0, 2};
    const DeviceBuffer<int32_t> device_row_of(row_of);
    DeviceBuffer<float> out(static_cast<size_t>(4 * width));
    require_cuda(gather_rows({.x = device_x.get(),
                              .row_of = device_row_of.get(),
                              .out = out.get(),
                              .rows = 4,
                              .width = width},
                             nullptr));
    wait_for_device();
    std::vector<float> want;
    for (const int32_t row : row_of) {
      want.insert(want.end(), x.begin() + row * width, x.begin() + (row + 1) * width);
    }
    EXPECT_EQ(out.download(), want) << width;
  }
}

}  // namespace
}  // namespace dms::cuda
