#include "cuda/kernels/matmul.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/device_matrix.h"
#include "cuda/kernels/matmul_launch.h"

namespace dms::cuda {
namespace {

constexpr MatrixFormat kFormats[] = {MatrixFormat::bf16, MatrixFormat::fp8, MatrixFormat::int4};

constexpr ProductChoice kThin8Warps[] = {{ProductKind::thin, 8, 16, 8},
                                         {ProductKind::thin, 8, 32, 8},
                                         {ProductKind::thin, 16, 16, 8},
                                         {ProductKind::thin, 16, 32, 8},
                                         {ProductKind::thin, 32, 16, 8},
                                         {ProductKind::thin, 32, 32, 8}};
constexpr ProductChoice kThin16Warps[] = {{ProductKind::thin, 8, 16, 16},
                                          {ProductKind::thin, 16, 16, 16},
                                          {ProductKind::thin, 32, 16, 16}};
constexpr ProductChoice kWide[] = {{ProductKind::wide, 64, 128, 8},
                                   {ProductKind::wide, 128, 128, 8}};
// Within each, results are the same bit for bit.
constexpr std::span<const ProductChoice> kChoices[] = {kThin8Warps, kThin16Warps, kWide};

std::string describe(const MatrixView& weights, const ProductChoice& choice, int rows) {
  const char* const formats[] = {"bf16", "fp8", "int4"};
  return std::string(formats[static_cast<int>(weights.format)]) + " [" +
         std::to_string(weights.rows) + ", " + std::to_string(weights.columns) + "], " +
         std::to_string(rows) + " rows, " + (choice.kind == ProductKind::thin ? "thin " : "wide ") +
         std::to_string(choice.tile_rows) + " x " + std::to_string(choice.tile_outputs) + ", " +
         std::to_string(choice.warps) + " warps";
}

template <MatrixFormat kFormat>
cudaError_t prepare_and_launch(const MatmulParams& params, const ProductChoice& choice) {
  const cudaError_t status = prepare_products<kFormat>();
  return status == cudaSuccess ? launch_product<kFormat>(params, choice, nullptr) : status;
}

cudaError_t launch(const MatmulParams& params, const ProductChoice& choice) {
  switch (params.weights.format) {
    case MatrixFormat::bf16:
      return prepare_and_launch<MatrixFormat::bf16>(params, choice);
    case MatrixFormat::fp8:
      return prepare_and_launch<MatrixFormat::fp8>(params, choice);
    default:
      return prepare_and_launch<MatrixFormat::int4>(params, choice);
  }
}

/// A matrix, activations, and their product in double precision, with exact weights and with those
/// in bf16; `bound`: sum of the absolute products, what rounding errors are measured by.
class Product {
 public:
  Product(MatrixFormat format, int rows, int outputs, int columns)
      : random_(static_cast<unsigned>(rows + 64 * outputs + columns)),
        host_(random_matrix(format, outputs, columns, random_)),
        matrix_(host_),
        x_(static_cast<size_t>(rows * columns)) {
    std::normal_distribution<float> normal;
    for (__nv_bfloat16& value : x_) value = __float2bfloat16_rn(normal(random_));
    // A column's mean, so that minima matter.
    for (size_t i = 0; i < x_.size(); i += 3) x_[i] = __float2bfloat16_rn(1.5f);
    for (int row = 0; row < rows; ++row) {
      for (int output = 0; output < outputs; ++output) multiply(row, output);
    }
  }

  const MatrixView& weights() const { return matrix_.view(); }

  /// The first `rows` rows, poisoned behind; `start`: what `out` holds before, or empty.
  std::vector<float> run(const ProductChoice& choice,
                         int rows,
                         const std::vector<float>& start = {}) const {
    const PoisonedCopy x(x_.data(), 2 * static_cast<size_t>(rows * host_.columns));
    const auto count = static_cast<size_t>(rows * host_.rows);
    const std::vector<float> poison(count, std::bit_cast<float>(~0u));
    const PoisonedCopy out(start.empty() ? poison : start);
    const MatmulParams params{.weights = weights(),
                              .x = x.at<__nv_bfloat16>(),
                              .out = out.at<float>(),
                              .accumulate = !start.empty(),
                              .rows = rows};
    EXPECT_EQ(launch(params, choice), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return out.read<float>();
  }

  std::vector<__nv_bfloat16> run_bf16(const ProductChoice& choice, int rows) const {
    const PoisonedCopy x(x_.data(), 2 * static_cast<size_t>(rows * host_.columns));
    const PoisonedCopy out(std::vector<uint16_t>(static_cast<size_t>(rows * host_.rows), 0xffff));
    const MatmulParams params{.weights = weights(),
                              .x = x.at<__nv_bfloat16>(),
                              .out_bf16 = out.at<__nv_bfloat16>(),
                              .rows = rows};
    EXPECT_EQ(launch(params, choice), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return out.read<__nv_bfloat16>();
  }

  /// Expects run()'s result; `start` as there.
  void expect(const std::vector<float>& out,
              const ProductChoice& choice,
              const std::vector<float>& start = {}) const {
    const bool is_rounded = choice.kind == ProductKind::wide && host_.format == MatrixFormat::int4;
    const std::vector<double>& wanted = is_rounded ? rounded_ : exact_;
    for (size_t i = 0; i < out.size(); ++i) {
      const double before = start.empty() ? 0.0 : start[i];
      ASSERT_NEAR(out[i], before + wanted[i], 2e-6 * (bound_[i] + std::abs(before)))
          << "row " << i / static_cast<size_t>(host_.rows) << ", output "
          << i % static_cast<size_t>(host_.rows);
    }
  }

 private:
  void multiply(int row, int output) {
    double exact = 0.0;
    double rounded = 0.0;
    double bound = 1e-3;
    for (int column = 0; column < host_.columns; ++column) {
      const double x = __bfloat162float(x_[static_cast<size_t>(row * host_.columns + column)]);
      const auto at = static_cast<size_t>(output * host_.columns + column);
      exact += x * host_.values[at];
      rounded += x * host_.rounded[at];
      bound += std::abs(x) * std::max(std::abs(host_.values[at]), 1.0);
    }
    exact_.push_back(exact);
    rounded_.push_back(rounded);
    bound_.push_back(bound);
  }

  std::mt19937 random_;
  HostMatrix host_;
  DeviceMatrix matrix_;
  std::vector<__nv_bfloat16> x_;
  std::vector<double> exact_;
  std::vector<double> rounded_;
  std::vector<double> bound_;
};

/// Row counts around the edges of a choice's tiles, that it may be given.
std::vector<int> row_counts(const ProductChoice& choice) {
  if (choice.kind == ProductKind::wide) return {1, 40, choice.tile_rows + 1};
  if (choice.tile_rows == 8) return {1, 3, 8};
  return {choice.tile_rows / 2 + 1, choice.tile_rows};
}

void expect_all_choices(const Product& product) {
  for (const auto& choices : kChoices) {
    for (const ProductChoice& choice : choices) {
      for (const int rows : row_counts(choice)) {
        SCOPED_TRACE(describe(product.weights(), choice, rows));
        product.expect(product.run(choice, rows), choice);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(CudaMatmul, ProductsOfEveryShapeAreRight) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const MatrixFormat format : kFormats) {
    for (const int outputs : {1, 8, 33, 136}) {
      for (const int columns : {32, 160}) {
        expect_all_choices(Product(format, 129, outputs, columns));
      }
    }
  }
}

TEST(CudaMatmul, LongRowsTakeEveryTurnOfTheWarps) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const MatrixFormat format : kFormats) {
    for (const int columns : {512, 1056, 2080}) {
      const Product product(format, 33, 24, columns);
      for (const ProductChoice& choice :
           {kThin8Warps[0], kThin8Warps[5], kThin16Warps[0], kThin16Warps[2], kWide[0]}) {
        const int rows = std::min(choice.tile_rows, 33);
        SCOPED_TRACE(describe(product.weights(), choice, rows));
        product.expect(product.run(choice, rows), choice);
      }
    }
  }
}

TEST(CudaMatmul, AddsToWhatIsThere) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const MatrixFormat format : kFormats) {
    const Product product(format, 65, 37, 96);
    for (const ProductChoice& choice :
         {kThin8Warps[0], kThin8Warps[3], kThin16Warps[1], kWide[0], kWide[1]}) {
      const int rows = choice.kind == ProductKind::thin ? choice.tile_rows - 1 : 65;
      SCOPED_TRACE(describe(product.weights(), choice, rows));
      std::vector<float> start(static_cast<size_t>(rows * 37));
      for (float& value : start) value = 10.0f * normal(random);
      product.expect(product.run(choice, rows, start), choice, start);
    }
  }
}

TEST(CudaMatmul, RoundsToBf16Once) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const MatrixFormat format : kFormats) {
    for (const int outputs : {37, 64}) {
      const Product product(format, 65, outputs, 64);
      for (const ProductChoice& choice :
           {kThin8Warps[0], kThin8Warps[3], kThin16Warps[1], kWide[0], kWide[1]}) {
        const int rows = choice.kind == ProductKind::thin ? choice.tile_rows - 1 : 65;
        SCOPED_TRACE(describe(product.weights(), choice, rows));
        const std::vector<float> sums = product.run(choice, rows);
        const std::vector<__nv_bfloat16> out = product.run_bf16(choice, rows);
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(__bfloat162float(out[i]), in_bf16(sums[i])) << "element " << i;
        }
      }
    }
  }
}

TEST(CudaMatmul, ARowsResultDependsOnNoOtherRowAndNoTile) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const MatrixFormat format : kFormats) {
    const Product product(format, 70, 40, 608);
    for (const auto& choices : kChoices) {
      const std::vector<float> alone = product.run(choices.front(), 1);
      for (const ProductChoice& choice : choices) {
        const int rows = choice.kind == ProductKind::thin ? choice.tile_rows : 70;
        SCOPED_TRACE(describe(product.weights(), choice, rows));
        const std::vector<float> together = product.run(choice, rows);
        for (size_t i = 0; i < alone.size(); ++i) ASSERT_EQ(alone[i], together[i]) << i;
      }
    }
  }
}

/// One column at a time, so that a weight's value comes out as it is.
void expect_every_code(const HostMatrix& host) {
  const DeviceMatrix matrix(host);
  std::vector<__nv_bfloat16> x(32 * 32, __float2bfloat16_rn(0.0f));
  for (size_t i = 0; i < 32; ++i) x[33 * i] = __float2bfloat16_rn(1.0f);
  const PoisonedCopy activations(x);
  for (const ProductChoice& choice : {kThin8Warps[5], kWide[0]}) {
    SCOPED_TRACE(describe(matrix.view(), choice, 32));
    const PoisonedCopy out(std::vector<float>(static_cast<size_t>(32 * host.rows)));
    const MatmulParams params{.weights = matrix.view(),
                              .x = activations.at<__nv_bfloat16>(),
                              .out = out.at<float>(),
                              .rows = 32};
    ASSERT_EQ(launch(params, choice), cudaSuccess);
    const std::vector<float> sums = out.read<float>();
    const bool is_rounded = choice.kind == ProductKind::wide && host.format == MatrixFormat::int4;
    for (size_t i = 0; i < host.values.size(); ++i) {
      const size_t column = i % 32;
      const size_t output = i / 32;
      ASSERT_EQ(sums[column * static_cast<size_t>(host.rows) + output],
                static_cast<float>((is_rounded ? host.rounded : host.values)[i]))
          << "output " << output << ", column " << column;
    }
  }
}

TEST(CudaMatmul, EveryFp8CodeIsExact) {
  DMS_NEEDS_CUDA_DEVICE();
  HostMatrix host;
  host.format = MatrixFormat::fp8;
  host.rows = 254;
  host.columns = 32;
  for (int row = 0; row < 254; ++row) {
    host.scales.push_back(row % 2 == 0 ? 1.0f : 0.125f);
    for (int column = 0; column < 32; ++column) {
      const int at = (row + 31 * column) % 254;
      const auto code = static_cast<unsigned char>(at < 127 ? at : at + 1);
      host.data.push_back(code);
      host.values.push_back(double{fp8_value(code)} * host.scales.back());
    }
  }
  expect_every_code(host);
}

TEST(CudaMatmul, EveryInt4CodeIsExactUnderItsScaleAndMinimum) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(5);
  expect_every_code(random_matrix(MatrixFormat::int4, 67, 32, random));
}

TEST(CudaMatmul, ChoosesAKernelForAnyNumberOfRows) {
  DMS_NEEDS_CUDA_DEVICE();
  const std::unique_ptr<Matmul> matmul = make_simple_matmul(300, 64);
  for (const MatrixFormat format : kFormats) {
    const Product product(format, 300, 40, 64);
    const PoisonedCopy x(std::vector<__nv_bfloat16>(300 * 64, __float2bfloat16_rn(1.0f)));
    for (const int rows : {1, 8, 9, 16, 17, 32, 33, 300}) {
      const PoisonedCopy out(std::vector<float>(static_cast<size_t>(rows * 40), NAN));
      const MatmulParams params{.weights = product.weights(),
                                .x = x.at<__nv_bfloat16>(),
                                .out = out.at<float>(),
                                .rows = rows};
      ASSERT_EQ(matmul->run(params, nullptr), cudaSuccess);
      for (const float value : out.read<float>()) ASSERT_TRUE(std::isfinite(value)) << rows;
    }
  }
}

TEST(CudaMatmul, RefusesWhatHasNoMeaning) {
  DMS_NEEDS_CUDA_DEVICE();
  const std::unique_ptr<Matmul> matmul = make_simple_matmul(8, 64);
  const Product product(MatrixFormat::bf16, 1, 8, 64);
  const PoisonedCopy x(std::vector<uint16_t>(64));
  const PoisonedCopy out(std::vector<float>(8));
  const MatmulParams good{
      .weights = product.weights(), .x = x.at<__nv_bfloat16>(), .out = out.at<float>(), .rows = 1};
  EXPECT_EQ(matmul->run(good, nullptr), cudaSuccess);
  MatmulParams params = good;
  params.rows = 0;
  EXPECT_EQ(matmul->run(params, nullptr), cudaSuccess);
  params.rows = -1;
  EXPECT_EQ(matmul->run(params, nullptr), cudaErrorInvalidValue);
  params = good;
  params.weights.columns = 48;
  EXPECT_EQ(matmul->run(params, nullptr), cudaErrorInvalidValue);
  params = good;
  params.out_bf16 = out.at<__nv_bfloat16>();
  EXPECT_EQ(matmul->run(params, nullptr), cudaErrorInvalidValue);
  params.out = nullptr;
  params.accumulate = true;
  EXPECT_EQ(matmul->run(params, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace dms::cuda
