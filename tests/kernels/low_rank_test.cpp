// Attention through factors against attention to the keys and values that they multiply out to, in
// float64; products with factors against plain loops, bit for bit.

#include "kernels/low_rank.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "kernels/factor_table.h"
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

/// Of bf16's numbers, so that both formats hold the same.
std::vector<float> short_normals(int64_t count, std::mt19937_64& random) {
  std::vector<float> values = normals(count, random);
  for (float& value : values) value = to_float(to_bf16(value));
  return values;
}

std::vector<uint16_t> bits_of(std::span<const float> values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(to_bf16(value).bits);
  return bits;
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
    LowRankArgs args{.positions = c_.positions,
                     .group = c_.group,
                     .head_dim = c_.head_dim,
                     .rank = c_.rank,
                     .tokens = c_.tokens,
                     .scale = kScale,
                     .soft_cap = c_.soft_cap,
                     .q = q,
                     .q_position_stride = stride(),
                     .key_rows = {.floats = key_rows_},
                     .key_basis = {.floats = key_basis_},
                     .value_rows = {.floats = value_rows_},
                     .value_basis = {.floats = value_basis_},
                     .biases = biases,
                     .first_seen = first_seen};
    const Result result = attend(args);
    const auto& [max, sum, output] = result;
    const std::vector<uint16_t> key_rows = bits_of(key_rows_);
    const std::vector<uint16_t> key_basis = bits_of(key_basis_);
    const std::vector<uint16_t> value_rows = bits_of(value_rows_);
    const std::vector<uint16_t> value_basis = bits_of(value_basis_);
    args.key_rows = {.bits = key_rows};
    args.key_basis = {.bits = key_basis};
    args.value_rows = {.bits = value_rows};
    args.value_basis = {.bits = value_basis};
    EXPECT_EQ(attend(args), result) << "bf16";
    for (int64_t row = 0; row < std::ssize(max); ++row) {
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

  struct Result {
    std::vector<float> max;
    std::vector<float> sum;
    std::vector<float> output;
    bool operator==(const Result&) const = default;
  };

  Result attend(const LowRankArgs& args) const {
    const auto rows = static_cast<size_t>(c_.positions * c_.group);
    Result result{.max = std::vector<float>(rows),
                  .sum = std::vector<float>(rows),
                  .output = std::vector<float>(rows * static_cast<size_t>(c_.head_dim), 7.0f)};
    attend_low_rank(args, {.max = result.max, .sum = result.sum, .output = result.output});
    return result;
  }

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
  std::vector<float> key_rows_ = short_normals(c_.rank * c_.tokens, random_);
  std::vector<float> key_basis_ = short_normals(c_.rank * c_.head_dim, random_);
  std::vector<float> value_rows_ = short_normals(c_.rank * c_.tokens, random_);
  std::vector<float> value_basis_ = short_normals(c_.rank * c_.head_dim, random_);
};

TEST(LowRank, AttendsWhatItsFactorsMultiplyOutTo) {
  for (const Case& c : {Case{1, 1, 1, 1, 1, 0, false, false},
                        Case{1, 8, 64, 16, 192, 0, false, false},
                        Case{32, 3, 24, 5, 33, 0, true, true},
                        Case{7, 2, 80, 3, 100, 2.0f, false, true},
                        Case{2, 5, 16, 16, 4, 0.5f, true, false},
                        Case{1, 3, 64, 16, 320, 0, false, false},  // the demo's
                        Case{5, 1, 33, 7, 71, 0, true, true},
                        Case{3, 4, 128, 17, 50, 0, false, true},
                        Case{1, 6, 96, 32, 129, 0, true, false},
                        Case{2, 7, 40, 11, 45, 0, false, false}}) {
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", head_dim " + std::to_string(c.head_dim) + " rank " +
                   std::to_string(c.rank));
      const ScopedIsa scoped(isa);
      LowRankAttention(c).check();
    }
  }
}

/// Shapes with every number of rows and of columns beyond a vector, and some of neither.
TEST(Factors, MultiplyWithTheBitsOfPlainLoops) {
  std::mt19937_64 random(seed());
  for (int64_t columns = 1; columns <= 83; columns += columns < 34 ? 1 : 7) {
    const int64_t rows = columns % kFactorRows + 1;
    const int64_t count = static_cast<int64_t>(random() % 40) + 1;
    const std::vector<float> factor = short_normals(count * columns, random);
    const std::vector<uint16_t> bits = bits_of(factor);
    const std::vector<float> x = normals(rows * count, random);
    const std::vector<float> before = normals(rows * columns, random);
    std::vector<float> expected = before;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          const float product =
              x[static_cast<size_t>(i * count + r)] * factor[static_cast<size_t>(r * columns + c)];
          expected[static_cast<size_t>(i * columns + c)] += product;
        }
      }
    }
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", [" + std::to_string(rows) + ", " +
                   std::to_string(count) + "] by " + std::to_string(columns));
      const ScopedIsa scoped(isa);
      for (const bool is_bf16 : {false, true}) {
        std::vector<float> out = before;
        FactorCall call{.x = {},
                        .out = {},
                        .rows = rows,
                        .count = count,
                        .factor = factor.data(),
                        .columns = columns};
        if (is_bf16) call.factor = bits.data();
        for (int64_t i = 0; i < rows; ++i) {
          call.x[i] = x.data() + i * count;
          call.out[i] = out.data() + i * columns;
        }
        (is_bf16 ? factor_table().multiply_bf16 : factor_table().multiply_f32)(call);
        EXPECT_EQ(out, expected);
      }
    }
  }
}

TEST(FactorTypes, AreRoundedAsOneNumberIsOnEveryInstructionSet) {
  std::mt19937_64 random(seed());
  for (const size_t count : {0u, 1u, 7u, 16u, 33u, 100u}) {
    std::vector<float> numbers(count);
    // Any bits: also infinities, what is no number and what lies halfway between two.
    for (float& number : numbers) {
      auto bits = static_cast<uint32_t>(random());
      if (random() % 3 == 0) bits |= 0x7f800000u;
      if (random() % 3 == 0) bits = (bits & 0xffff0000u) | 0x8000u;
      number = std::bit_cast<float>(bits);
    }
    std::vector<uint16_t> expected;
    for (const float number : numbers) expected.push_back(to_bf16(number).bits);
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace_of(isa, seed()) + ", " + std::to_string(count) + " numbers");
      const ScopedIsa scoped(isa);
      std::vector<uint16_t> bits(count);
      narrow_factor(numbers, bits);
      EXPECT_EQ(bits, expected);
      std::vector<float> back(count);
      widen_factor(bits, back);
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(std::bit_cast<uint32_t>(back[i]), uint32_t{bits[i]} << 16);
      }
    }
  }
}

}  // namespace
}  // namespace dms::kernels
