// Attention through factors against attention to the keys and values that they multiply out to, in
// float64.

#include "kernels/low_rank.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/isas.h"
#include "support/seed.h"

namespace dms::kernels {
namespace {

using testing_support::seed;

struct Case {
  int64_t positions;
  int64_t group;
  int64_t head_dim;
  int64_t rank;
  int64_t tokens;
  float soft_cap;
  bool has_biases;
  bool slides;  // queries see the block from another token on each, the last one nothing
};

std::vector<float> normals(int64_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

/// Sum over r of a(r) * b(r).
template <class A, class B>
double product(int64_t rank, A a, B b) {
  double sum = 0;
  for (int64_t r = 0; r < rank; ++r) sum += static_cast<double>(a(r)) * b(r);
  return sum;
}

class LowRankAttention {
 public:
  explicit LowRankAttention(const Case& c) : c_(c), random_(seed()) {}

  void check() {
    const std::vector<float> q = normals(c_.positions * stride(), random_);
    const std::vector<float> biases = normals(c_.has_biases ? c_.group * c_.tokens : 0, random_);
    std::vector<int64_t> first_seen;
    for (int64_t t = 0; t < c_.positions && c_.slides; ++t) {
      first_seen.push_back(t + 1 == c_.positions ? c_.tokens : t % c_.tokens);
    }
    const int64_t rows = c_.positions * c_.group;
    std::vector<float> max(static_cast<size_t>(rows));
    std::vector<float> sum(max.size());
    std::vector<float> output(static_cast<size_t>(rows * c_.head_dim));
    attend_low_rank({.positions = c_.positions,
                     .group = c_.group,
                     .head_dim = c_.head_dim,
                     .rank = c_.rank,
                     .tokens = c_.tokens,
                     .scale = kScale,
                     .soft_cap = c_.soft_cap,
                     .q = q,
                     .q_position_stride = stride(),
                     .key_rows = key_rows_,
                     .key_basis = key_basis_,
                     .value_rows = value_rows_,
                     .value_basis = value_basis_,
                     .biases = biases,
                     .first_seen = first_seen},
                    {.max = max, .sum = sum, .output = output});
    for (int64_t row = 0; row < rows; ++row) {
      const auto position = static_cast<size_t>(row / c_.group);
      const int64_t member = row % c_.group;
      const int64_t first = c_.slides ? first_seen[position] : 0;
      const float* query = q.data() + row / c_.group * stride() + member * c_.head_dim;
      const float* bias = c_.has_biases ? biases.data() + member * c_.tokens : nullptr;
      const auto r = static_cast<size_t>(row);
      check_row({query, static_cast<size_t>(c_.head_dim)},
                bias,
                first,
                max[r],
                sum[r],
                std::span(output).subspan(r * static_cast<size_t>(c_.head_dim),
                                          static_cast<size_t>(c_.head_dim)));
    }
  }

 private:
  static constexpr float kScale = 0.3f;

  int64_t stride() const { return c_.group * c_.head_dim + 5; }
  double key(int64_t token, int64_t channel) const {
    return product(
        c_.rank,
        [&](int64_t r) { return key_rows_[static_cast<size_t>(r * c_.tokens + token)]; },
        [&](int64_t r) { return key_basis_[static_cast<size_t>(channel * c_.rank + r)]; });
  }
  double value(int64_t token, int64_t channel) const {
    return product(
        c_.rank,
        [&](int64_t r) { return value_rows_[static_cast<size_t>(token * c_.rank + r)]; },
        [&](int64_t r) { return value_basis_[static_cast<size_t>(r * c_.head_dim + channel)]; });
  }

  void check_row(std::span<const float> query,
                 const float* bias,
                 int64_t first,
                 float max,
                 float sum,
                 std::span<const float> output) const {
    if (first == c_.tokens) {
      EXPECT_EQ(max, -std::numeric_limits<float>::infinity());
      EXPECT_EQ(sum, 0.0f);
      for (const float x : output) EXPECT_EQ(x, 0.0f);
      return;
    }
    std::vector<double> weights;
    double total = 0;
    for (int64_t token = first; token < c_.tokens; ++token) {
      double score = bias == nullptr ? 0.0 : bias[token];
      for (int64_t c = 0; c < c_.head_dim; ++c) {
        score += static_cast<double>(query[static_cast<size_t>(c)]) * key(token, c);
      }
      score *= kScale;
      if (c_.soft_cap > 0) score = c_.soft_cap * std::tanh(score / c_.soft_cap);
      weights.push_back(std::exp(score - max));
      total += weights.back();
    }
    EXPECT_NEAR(sum / total, 1.0, 1e-4);
    for (int64_t c = 0; c < c_.head_dim; ++c) {
      double expected = 0;
      for (int64_t token = first; token < c_.tokens; ++token) {
        expected += weights[static_cast<size_t>(token - first)] / total * value(token, c);
      }
      EXPECT_NEAR(output[static_cast<size_t>(c)] / sum, expected, 2e-4);
    }
  }

  Case c_;
  std::mt19937_64 random_;
  std::vector<float> key_rows_ = normals(c_.rank * c_.tokens, random_);
  std::vector<float> key_basis_ = normals(c_.rank * c_.head_dim, random_);
  std::vector<float> value_rows_ = normals(c_.rank * c_.tokens, random_);
  std::vector<float> value_basis_ = normals(c_.rank * c_.head_dim, random_);
};

TEST(LowRank, AttendsWhatItsFactorsMultiplyOutTo) {
  for (const Case& c : {Case{1, 1, 1, 1, 1, 0, false, false},
                        Case{1, 8, 64, 16, 192, 0, false, false},
                        Case{32, 3, 24, 5, 33, 0, true, true},
                        Case{7, 2, 80, 3, 100, 2.0f, false, true},
                        Case{2, 5, 16, 16, 4, 0.5f, true, false}}) {
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", head_dim " + std::to_string(c.head_dim) + " rank " +
                   std::to_string(c.rank));
      const ScopedIsa scoped(isa);
      LowRankAttention(c).check();
    }
  }
}

}  // namespace
}  // namespace dms::kernels
