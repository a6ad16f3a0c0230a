// Decision logits beside doubles, and the same bits whatever stands beside a row.

#include "cuda/kernels/decisions.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/cache_case.h"

namespace dms::cuda {
namespace {

struct LogitCase {
  int32_t rows = 1;
  int32_t outputs = 2;
  int32_t width = 64;
  bool bias = true;
  bool gelu = false;
  bool transposed = false;  // logits lie [outputs, rows]
};

std::vector<float> numbers(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// Returns the logits [rows, outputs]; x, weights and bias begin alike in all cases of a width.
std::vector<float> expect_right(const LogitCase& c) {
  constexpr float kScale = 1.3f;
  constexpr float kOffset = 0.7f;
  const auto rows = static_cast<size_t>(c.rows);
  const auto outputs = static_cast<size_t>(c.outputs);
  const auto width = static_cast<size_t>(c.width);
  const std::vector<float> x = numbers(rows * width, 1);
  const std::vector<float> weights = numbers(outputs * width, 2);
  const std::vector<float> bias = numbers(outputs, 3);
  const DeviceBuffer<float> device_x(x);
  const DeviceBuffer<float> device_weights(weights);
  const DeviceBuffer<float> device_bias(bias);
  DeviceBuffer<float> out(rows * outputs);
  require_cuda(decision_logits({.x = device_x.get(),
                                .weights = device_weights.get(),
                                .bias = c.bias ? device_bias.get() : nullptr,
                                .logits = out.get(),
                                .stride = c.transposed ? 1 : c.outputs,
                                .output_stride = c.transposed ? c.rows : 1,
                                .rows = c.rows,
                                .outputs = c.outputs,
                                .width = c.width,
                                .scale = kScale,
                                .offset = kOffset,
                                .gelu = c.gelu},
                               nullptr));
  wait_for_device();
  const std::vector<float> got = out.download();
  std::vector<float> logits;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t k = 0; k < outputs; ++k) {
      double sum = c.bias ? bias[k] : 0.0f;
      for (size_t i = 0; i < width; ++i) sum += double{x[row * width + i]} * weights[k * width + i];
      double want = sum * kScale - kOffset;
      if (c.gelu) want = 0.5 * want * std::erfc(-want * std::sqrt(0.5));
      const float logit = got[c.transposed ? k * rows + row : row * outputs + k];
      EXPECT_NEAR(logit, want, 1e-5 * std::sqrt(c.width)) << "row " << row << " output " << k;
      logits.push_back(logit);
    }
  }
  return logits;
}

TEST(DecisionLogits, ServesAllWidths) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t width : {8, 72, 576, 1024, 1032, 4096}) {
    expect_right({.rows = 2, .width = width});
  }
}

TEST(DecisionLogits, ServesAllNumbersOfRowsAndOutputs) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t rows : {1, 5}) {
    for (const int32_t outputs : {1, 3, 4, 9}) expect_right({.rows = rows, .outputs = outputs});
  }
  expect_right({.rows = 6, .outputs = 87});  // more than one at a time
}

TEST(DecisionLogits, LeavesOutABiasAndTurnsTheOutput) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const bool bias : {false, true}) {
    for (const bool gelu : {false, true}) {
      for (const bool transposed : {false, true}) {
        expect_right(
            {.rows = 3, .outputs = 5, .bias = bias, .gelu = gelu, .transposed = transposed});
      }
    }
  }
}

TEST(DecisionLogits, GivesARowTheSameBitsInAnyBatch) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t width : {72, 1032}) {
    const std::vector<float> alone = expect_right({.rows = 1, .outputs = 103, .width = width});
    for (const int32_t rows : {2, 5}) {  // one at a time, and four by four
      const std::vector<float> together =
          expect_right({.rows = rows, .outputs = 103, .width = width});
      EXPECT_TRUE(std::ranges::equal(alone, std::span(together).first(alone.size()))) << rows;
    }
  }
}

TEST(DecisionLogits, RefusesWidthsThatItCannotLoad) {
  EXPECT_EQ(decision_logits({.rows = 1, .outputs = 1, .width = 6}, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace dms::cuda
