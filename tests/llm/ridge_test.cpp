#include "llm/ridge.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::llm {
namespace {

constexpr int64_t kColumns = 70;
constexpr int64_t kTargets = 3;

/// Columns of very different sizes that depend on one another.
std::vector<float> inputs(int64_t rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> x(static_cast<size_t>(rows * kColumns));
  for (int64_t row = 0; row < rows; ++row) {
    const float common = draw(random);
    for (int64_t c = 0; c < kColumns; ++c) {
      x[static_cast<size_t>(row * kColumns + c)] =
          (c % 7 == 0 ? 40.0f : 0.3f) * (common + 2 + draw(random));
    }
  }
  return x;
}

std::vector<float> targets(int64_t rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> draw(-6.0f, 2.0f);
  std::vector<float> y(static_cast<size_t>(rows * kTargets));
  for (float& value : y) value = draw(random);
  return y;
}

/// At the minimum of |y - W x - b|^2 + penalty |W|^2 errors add up to nothing, and weighed by a
/// column to the penalty times its weight.
TEST(Ridge, IsTheMinimum) {
  for (const int64_t rows : {5, 64, 301}) {
    const std::vector<float> x = inputs(rows, testing_support::seed());
    const std::vector<float> y = targets(rows, testing_support::seed() + 1);
    Ridge ridge(kColumns, kTargets);
    const auto add = [&](Ridge& sums, int64_t begin, int64_t end) {
      const auto part = [&](const std::vector<float>& all, int64_t width) {
        return std::span(all).subspan(static_cast<size_t>(begin * width),
                                      static_cast<size_t>((end - begin) * width));
      };
      sums.add(part(x, kColumns), part(y, kTargets));
    };
    Ridge others(kColumns, kTargets);
    add(ridge, 0, rows / 3);
    add(others, rows / 2, rows);
    add(ridge, rows / 3, rows / 2);
    ridge.add(others);
    EXPECT_EQ(ridge.rows(), rows);
    const double penalty = 0.7;
    const LinearFit fit = ridge.solve(penalty);
    for (int64_t target = 0; target < kTargets; ++target) {
      std::vector<double> weighed(static_cast<size_t>(kColumns));
      double errors = 0;
      double size = 0;
      for (int64_t row = 0; row < rows; ++row) {
        double error = static_cast<double>(y[static_cast<size_t>(row * kTargets + target)]) -
                       fit.intercepts[static_cast<size_t>(target)];
        for (int64_t c = 0; c < kColumns; ++c) {
          error -= static_cast<double>(fit.weights[static_cast<size_t>(target * kColumns + c)]) *
                   x[static_cast<size_t>(row * kColumns + c)];
        }
        errors += error;
        size += std::abs(error);
        for (int64_t c = 0; c < kColumns; ++c) {
          weighed[static_cast<size_t>(c)] += error * x[static_cast<size_t>(row * kColumns + c)];
        }
      }
      // Weights are rounded to float32.
      EXPECT_NEAR(errors, 0, 1e-4 * static_cast<double>(rows)) << rows << " rows, size " << size;
      for (int64_t c = 0; c < kColumns; ++c) {
        const double weight = fit.weights[static_cast<size_t>(target * kColumns + c)];
        EXPECT_NEAR(weighed[static_cast<size_t>(c)], penalty * weight, 0.05 + 1e-5 * size * 100)
            << rows << " rows, column " << c;
      }
    }
  }
}

}  // namespace
}  // namespace dms::llm
