// Rounding by a calibration's inputs, against the same in float64 and against rounding each weight
// by itself.

#include "quantise/feedback_rounding.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "kernels/quantise.h"
#include "quantise/codes.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::quantise {
namespace {

using kernels::QuantisedRowsBuffer;
using kernels::WeightFormat;
using testing_support::normal_values;

struct Problem {
  int64_t columns;
  int64_t count;               // rows of weights
  std::vector<float> inputs;   // [tokens, columns], correlated and of very different sizes
  std::vector<float> weights;  // [count, columns]
};

Problem make_problem(int64_t columns, int64_t count, int64_t tokens, std::mt19937_64& random) {
  Problem problem{.columns = columns,
                  .count = count,
                  .inputs = normal_values(tokens * columns, random),
                  .weights = normal_values(count * columns, random)};
  for (int64_t token = 0; token < tokens; ++token) {
    float* x = problem.inputs.data() + token * columns;
    for (int64_t c = 1; c < columns; ++c) x[c] = 0.8f * x[c - 1] + 0.6f * x[c];
    for (int64_t c = 0; c < columns; ++c) x[c] *= c % 7 == 3 ? 5.0f : 0.5f;
  }
  return problem;
}

float decoded(const QuantisedRowsBuffer& q, int64_t columns, int64_t row, int64_t c) {
  const int64_t groups = columns / kernels::kQuantGroup;
  const float scale = q.scales[static_cast<size_t>(row * groups + c / kernels::kQuantGroup)];
  const auto code = static_cast<int32_t>(q.codes[static_cast<size_t>(row * columns + c)]);
  return scale * static_cast<float>(code - kernels::zero_code(q.format));
}

/// Of the outputs.
double squared_error(const Problem& p, const QuantisedRowsBuffer& q) {
  double total = 0;
  for (int64_t row = 0; row < p.count; ++row) {
    for (int64_t token = 0; token < std::ssize(p.inputs) / p.columns; ++token) {
      double out = 0;
      for (int64_t c = 0; c < p.columns; ++c) {
        const double error =
            p.weights[static_cast<size_t>(row * p.columns + c)] - decoded(q, p.columns, row, c);
        out += error * p.inputs[static_cast<size_t>(token * p.columns + c)];
      }
      total += out * out;
    }
  }
  return total;
}

using Matrix = std::vector<double>;  // [n, n]

/// Of the inputs as the moments see them, damped as FeedbackRounding does.
Matrix damped_moments(const Problem& p) {
  const auto n = static_cast<size_t>(p.columns);
  Matrix h(n * n, 0.0);
  const auto input = [&](size_t i) { return double{to_float(to_bf16(p.inputs[i]))}; };
  double trace = 0;
  for (size_t at = 0; at < p.inputs.size(); at += n) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) h[i * n + j] += input(at + i) * input(at + j);
      trace += input(at + i) * input(at + i);
    }
  }
  for (size_t i = 0; i < n; ++i) h[i * n + i] += 0.01 * trace / static_cast<double>(n);
  return h;
}

/// The last unknown of the solution of a x = b, by elimination.
double last_of_solution(std::vector<std::vector<double>> a, std::vector<double> b) {
  for (size_t k = 0; k + 1 < b.size(); ++k) {
    for (size_t i = k + 1; i < b.size(); ++i) {
      const double factor = a[i][k] / a[k][k];
      for (size_t j = k; j < b.size(); ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  return b.back() / a.back().back();
}

/// Column by column, what matters most first: the code nearest to the value that is best if all
/// columns that are left could take any value. In float64.
void round_by_reference(const Problem& p, QuantisedRowsBuffer& q) {
  const auto n = static_cast<size_t>(p.columns);
  const Matrix h = damped_moments(p);
  std::vector<size_t> left(n);
  std::iota(left.begin(), left.end(), size_t{0});
  std::ranges::stable_sort(left, {}, [&](size_t c) { return h[c * n + c]; });
  std::vector<std::vector<double>> errors(static_cast<size_t>(p.count),
                                          std::vector<double>(n, 0.0));
  for (; !left.empty(); left.pop_back()) {
    std::vector<std::vector<double>> a;
    for (const size_t i : left) {
      std::vector<double>& row = a.emplace_back();
      for (const size_t j : left) row.push_back(h[i * n + j]);
    }
    for (size_t r = 0; r < errors.size(); ++r) {
      std::vector<double> b;
      for (const size_t i : left) {
        double pull = 0;
        for (size_t j = 0; j < n; ++j) pull -= h[i * n + j] * errors[r][j];
        b.push_back(pull);
      }
      const size_t c = left.back();
      const double weight = p.weights[r * n + c];
      const double scale = q.scales[r * (n / 32) + c / 32];
      const double zero = kernels::zero_code(q.format);
      const double code = std::nearbyint((weight - last_of_solution(a, b)) / scale + zero);
      const double kept = std::clamp(code, 0.0, double{2} * zero - 1);
      q.codes[r * n + c] = static_cast<uint8_t>(kept);
      errors[r][c] = weight - scale * (kept - zero);
    }
  }
}

class Rounding : public ::testing::TestWithParam<WeightFormat> {};

TEST_P(Rounding, IsGptqs) {
  std::mt19937_64 random(testing_support::seed());
  for (const int64_t columns : {32, 64, 96}) {
    const Problem p = make_problem(columns, 21, 3 * columns, random);
    InputMoments moments(columns);
    const auto half = static_cast<size_t>(3 * columns / 2 * columns);
    moments.add(std::span(p.inputs).first(half));
    moments.add(std::span(p.inputs).subspan(half));
    const FeedbackRounding rounding(moments);

    const QuantisedRowsBuffer ours = quantise(GetParam(), columns, p.weights, &rounding);
    QuantisedRowsBuffer expected = ours;
    round_by_reference(p, expected);
    // A tie that falls otherwise changes what comes after it, not how good the whole is.
    EXPECT_LT(squared_error(p, ours), 1.05 * squared_error(p, expected));
    const QuantisedRowsBuffer alone = quantise(GetParam(), columns, p.weights, nullptr);
    EXPECT_LT(squared_error(p, ours), 0.6 * squared_error(p, alone));
  }
}

INSTANTIATE_TEST_SUITE_P(Formats,
                         Rounding,
                         ::testing::Values(WeightFormat::int8, WeightFormat::int4));

TEST(FeedbackRounding, HoldsWhereInputsNeverMove) {
  InputMoments moments(32);
  const std::vector<float> zeros(32 * 4, 0.0f);
  moments.add(zeros);
  const FeedbackRounding rounding(moments);
  std::mt19937_64 random(testing_support::seed());
  const std::vector<float> weights = normal_values(32 * 3, random);
  const QuantisedRowsBuffer ours = quantise(WeightFormat::int4, 32, weights, &rounding);
  const Problem p{.columns = 32, .count = 3, .inputs = zeros, .weights = weights};
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t c = 0; c < 32; ++c) {
      EXPECT_NEAR(decoded(ours, 32, row, c), weights[static_cast<size_t>(row * 32 + c)], 0.5f);
    }
  }
}

TEST(PackedCodes, LieInTheirFieldsOrder) {
  const std::vector<uint8_t> codes{1, 2, 15, 0};
  const auto bytes = [](std::initializer_list<int> values) {
    std::vector<std::byte> all;
    for (const int value : values) all.push_back(static_cast<std::byte>(value));
    return all;
  };
  EXPECT_EQ(pack_codes(codes, 4), bytes({0x21, 0x0f}));
  EXPECT_EQ(pack_codes(codes, 8), bytes({1, 2, 15, 0}));
}

}  // namespace
}  // namespace dms::quantise
