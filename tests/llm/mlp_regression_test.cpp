#include "llm/mlp_regression.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "support/seed.h"

namespace dms::llm {
namespace {

constexpr int64_t kColumns = 24;
constexpr int64_t kTargets = 2;
constexpr int64_t kRows = 3000;
constexpr int64_t kFew = 600;
constexpr double kPenalty = 1.0;
constexpr size_t kConstant = 5;  // a column that never changes

/// `target`: of a row's standard normal numbers.
using Target = std::function<float(std::span<const float> normal, int64_t target)>;

struct Rows {
  std::vector<float> x;
  std::vector<float> y;
};

/// Columns of very different sizes and means.
Rows drawn(int64_t count, std::mt19937_64& random, const Target& target) {
  std::normal_distribution<float> draw;
  Rows rows;
  std::vector<float> normal(kColumns);
  for (int64_t row = 0; row < count; ++row) {
    for (float& value : normal) value = draw(random);
    for (size_t c = 0; c < normal.size(); ++c) {
      const float size = c % 3 == 0 ? 30.0f : 0.02f;
      rows.x.push_back(c == kConstant ? 7.3f : size * (normal[c] + 1));
    }
    for (int64_t t = 0; t < kTargets; ++t) rows.y.push_back(target(normal, t));
  }
  return rows;
}

RegressionRows kept(const Rows& rows) {
  RegressionRows all(kColumns, kTargets, kRows);
  all.add(rows.x, rows.y);
  return all;
}

LinearFit linear_fit(const Rows& rows) {
  Ridge ridge(kColumns, kTargets);
  ridge.add(rows.x, rows.y);
  return ridge.solve(kPenalty);
}

double linear_error(const LinearFit& fit, const Rows& rows) {
  double squares = 0;
  for (size_t i = 0; i < rows.y.size(); ++i) {
    const size_t row = i / kTargets;
    const size_t target = i % kTargets;
    double out = fit.intercepts[target];
    for (size_t c = 0; c < kColumns; ++c) {
      out += static_cast<double>(fit.weights[target * kColumns + c]) * rows.x[row * kColumns + c];
    }
    squares += (out - rows.y[i]) * (out - rows.y[i]);
  }
  return squares / static_cast<double>(rows.y.size());
}

double error_of(const Mlp& mlp, const Rows& rows) {
  return mlp_error(mlp, MlpBatch(rows.x, rows.y, kColumns), nullptr);
}

class MlpRegression : public testing::Test {
 protected:
  void draw(const Target& target) {
    std::mt19937_64 random(testing_support::seed());
    fitted = drawn(kRows, random, target);
    stopping = drawn(kFew, random, target);
    unseen = drawn(kFew, random, target);
    start = linear_fit(fitted);
  }
  Mlp fit(const MlpSettings& settings) const {
    return fit_mlp(kept(fitted), kept(stopping), start, settings);
  }

  Rows fitted;
  Rows stopping;
  Rows unseen;
  LinearFit start;
};

float curved(std::span<const float> normal, int64_t target) {
  const float a = normal[static_cast<size_t>(target)] + normal[3];
  return -5.0f + 2.0f * std::abs(a) + 0.3f * normal[7];
}

TEST_F(MlpRegression, BeginsAsTheLinearFit) {
  draw(curved);
  const Mlp begun = fit({.width = 2 * kTargets + 3, .passes = 0});
  EXPECT_EQ(begun.hidden.intercepts.size(), size_t{7});
  const double expected = linear_error(start, unseen);
  EXPECT_NEAR(error_of(begun, unseen), expected, 1e-3 * expected);
}

TEST_F(MlpRegression, FindsWhatNoLinearFitCan) {
  draw(curved);
  const double linear = linear_error(start, unseen);
  EXPECT_LT(error_of(fit({.width = 32, .passes = 200}), unseen), 0.2 * linear);
}

/// Of noise there is nothing to learn but the rows themselves.
TEST_F(MlpRegression, IsNoWorseThanTheLinearFitByWhatStopsIt) {
  std::mt19937_64 noise(testing_support::seed() + 1);
  std::normal_distribution<float> normal;
  draw([&](std::span<const float>, int64_t) { return normal(noise); });
  const Mlp wide = fit({.width = 64, .passes = 60});
  EXPECT_LE(error_of(wide, stopping), (1 + 1e-3) * linear_error(start, stopping));
}

TEST_F(MlpRegression, HasTheSameBitsForOneSeedOnAnyThreads) {
  draw(curved);
  const auto fit_on = [&](int64_t threads, uint64_t seed) {
    const ScopedThreads scoped(threads);
    return fit({.width = 9, .seed = seed, .passes = 2});
  };
  const Mlp one = fit_on(1, 3);
  const Mlp three = fit_on(3, 3);
  EXPECT_EQ(one.hidden.weights, three.hidden.weights);
  EXPECT_EQ(one.hidden.intercepts, three.hidden.intercepts);
  EXPECT_EQ(one.output.weights, three.output.weights);
  EXPECT_EQ(one.output.intercepts, three.output.intercepts);
  EXPECT_NE(one.hidden.weights, fit_on(1, 4).hidden.weights);
}

TEST(RegressionRows, KeepsOneOfSoMany) {
  RegressionRows rows(2, 1, 2);
  const std::vector<float> x{0, 1, 2, 3, 4, 5};
  const std::vector<float> y{10, 11, 12};
  rows.add(x, y, 2);  // the first and the third
  rows.add(x, y, 2);  // the second: rows are counted over all calls
  ASSERT_EQ(rows.count(), 3);
  std::vector<float> read(2);
  rows.read(1, read);
  EXPECT_EQ(read, (std::vector<float>{4, 5}));
  rows.read(2, read);
  EXPECT_EQ(read, (std::vector<float>{2, 3}));
  EXPECT_EQ(rows.target(2)[0], 11);
}

}  // namespace
}  // namespace dms::llm
