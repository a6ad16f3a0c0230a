#include "cuda/kernels/quantise_rows.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/device_matrix.h"

namespace dms::cuda {
namespace {

struct Quantised {
  std::vector<unsigned char> codes;
  std::vector<float> scales;
};

Quantised quantise(const std::vector<__nv_bfloat16>& x, int rows, int columns) {
  const PoisonedCopy from(x);
  const PoisonedCopy codes(std::vector<unsigned char>(x.size(), 0xff));
  const PoisonedCopy scales(std::vector<float>(static_cast<size_t>(rows), NAN));
  const QuantiseRowsParams params{.x = from.at<__nv_bfloat16>(),
                                  .codes = codes.at<__nv_fp8_storage_t>(),
                                  .scales = scales.at<float>(),
                                  .rows = rows,
                                  .columns = columns};
  EXPECT_EQ(quantise_rows(params, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  return {codes.read<unsigned char>(), scales.read<float>()};
}

TEST(CudaQuantiseRows, EveryValueIsTheNearestCodeUnderItsRowsScale) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const int columns : {8, 32, 264, 2048, 2080, 4104}) {
    constexpr int kRows = 5;
    std::vector<__nv_bfloat16> x(static_cast<size_t>(kRows * columns));
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = __float2bfloat16_rn(normal(random) * std::exp(normal(random)));
    }
    // The largest of a row is its last value, and negative; another row is all zeros.
    x[static_cast<size_t>(columns - 1)] = __float2bfloat16_rn(-1000.0f);
    std::fill_n(x.begin() + 2 * columns, columns, __float2bfloat16_rn(0.0f));
    const Quantised out = quantise(x, kRows, columns);
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t row = i / static_cast<size_t>(columns);
      const auto first = x.begin() + static_cast<int64_t>(row) * columns;
      float largest = 0.0f;
      std::for_each(first, first + columns, [&](__nv_bfloat16 value) {
        largest = std::max(largest, std::abs(__bfloat162float(value)));
      });
      const float scale = largest > 0.0f ? largest / 448.0f : 1.0f;
      ASSERT_FLOAT_EQ(out.scales[row], scale) << columns;
      const float value = __bfloat162float(x[i]);
      const float half_step = std::max(std::abs(value) / 16.0f, scale * 0x1p-10f);
      ASSERT_NEAR(fp8_value(out.codes[i]) * scale, value, 1.001f * half_step)
          << columns << " columns, value " << i;
    }
    EXPECT_EQ(fp8_value(out.codes[static_cast<size_t>(columns - 1)]), -448.0f);
  }
}

/// Whose largest value is bf16's least number, or one whose 448th part has no finite reciprocal.
TEST(CudaQuantiseRows, RowsOfTinyValuesHaveNoNans) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const float tiny : {0x1p-133f, 0x1p-120f}) {
    std::vector<__nv_bfloat16> x(8, __float2bfloat16_rn(0.0f));
    x[3] = __float2bfloat16_rn(-tiny);
    const Quantised out = quantise(x, 1, 8);
    EXPECT_EQ(out.scales[0], 0x1p-126f);
    for (size_t i = 0; i < x.size(); ++i) {
      const float value = fp8_value(out.codes[i]) * out.scales[0];
      EXPECT_NEAR(value, i == 3 ? -tiny : 0.0f, 0x1p-136f) << "value " << i;
    }
  }
}

}  // namespace
}  // namespace dms::cuda
