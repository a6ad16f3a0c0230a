#include "llm/mlp.h"

#include <array>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::llm {
namespace {

struct Shape {
  int64_t rows;
  int64_t columns;
  int64_t width;
  int64_t targets;
};

// Around the panels of 32 and the vectors of 16 that products are cut into.
constexpr std::array kShapes{Shape{1, 1, 1, 1}, Shape{5, 37, 7, 3}, Shape{70, 33, 40, 2}};

std::vector<float> drawn(int64_t count, std::mt19937_64& random) {
  std::normal_distribution<float> draw;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = draw(random);
  return values;
}

Mlp network(const Shape& shape, std::mt19937_64& random) {
  return {.hidden = {drawn(shape.width * shape.columns, random), drawn(shape.width, random)},
          .output = {drawn(shape.targets * shape.width, random), drawn(shape.targets, random)}};
}

/// By the definition, in float64.
double plain_error(const Mlp& mlp,
                   const Shape& shape,
                   const std::vector<float>& x,
                   const std::vector<float>& y) {
  const auto at = [](const std::vector<float>& values, int64_t i) {
    return static_cast<double>(values[static_cast<size_t>(i)]);
  };
  double squares = 0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    std::vector<double> out(mlp.output.intercepts.begin(), mlp.output.intercepts.end());
    for (int64_t unit = 0; unit < shape.width; ++unit) {
      double a = at(mlp.hidden.intercepts, unit);
      for (int64_t c = 0; c < shape.columns; ++c) {
        a += at(mlp.hidden.weights, unit * shape.columns + c) * at(x, row * shape.columns + c);
      }
      const double gelu = 0.5 * a * (1 + std::erf(a / std::sqrt(2.0)));
      for (int64_t t = 0; t < shape.targets; ++t) {
        out[static_cast<size_t>(t)] += at(mlp.output.weights, t * shape.width + unit) * gelu;
      }
    }
    for (int64_t t = 0; t < shape.targets; ++t) {
      const double error = out[static_cast<size_t>(t)] - at(y, row * shape.targets + t);
      squares += error * error;
    }
  }
  return squares / static_cast<double>(shape.rows * shape.targets);
}

std::array<std::vector<float>*, 4> parts(Mlp& mlp) {
  return {&mlp.hidden.weights, &mlp.hidden.intercepts, &mlp.output.weights, &mlp.output.intercepts};
}

TEST(Mlp, ErrorAndGradientAreThoseOfTheDefinition) {
  std::mt19937_64 random(testing_support::seed());
  for (const Shape& shape : kShapes) {
    const std::vector<float> x = drawn(shape.rows * shape.columns, random);
    const std::vector<float> y = drawn(shape.rows * shape.targets, random);
    Mlp mlp = network(shape, random);
    const MlpBatch batch(x, y, shape.columns);
    Mlp gradient = network(shape, random);  // overwritten, not added to
    const double error = mlp_error(mlp, batch, &gradient);
    const double expected = plain_error(mlp, shape, x, y);
    EXPECT_NEAR(error, expected, 1e-5 * expected) << shape.rows << " rows";
    EXPECT_EQ(mlp_error(mlp, batch, nullptr), error);
    for (size_t part = 0; part < 4; ++part) {
      std::vector<float>& values = *parts(mlp)[part];
      const std::vector<float>& slopes = *parts(gradient)[part];
      ASSERT_EQ(slopes.size(), values.size());
      for (size_t i = 0; i < values.size(); ++i) {
        const float value = values[i];
        values[i] = value + 0x1p-8f;
        const float above = values[i];
        const double up = plain_error(mlp, shape, x, y);
        values[i] = value - 0x1p-8f;
        const double slope =
            (up - plain_error(mlp, shape, x, y)) / (static_cast<double>(above) - values[i]);
        values[i] = value;
        // Central differences are off by the third derivative, 2.5e-6 of it at this step.
        EXPECT_NEAR(slopes[i], slope, 1e-3 * std::sqrt(expected) + 1e-3 * std::abs(slope))
            << shape.rows << " rows, part " << part << ", number " << i;
      }
    }
  }
}

}  // namespace
}  // namespace dms::llm
