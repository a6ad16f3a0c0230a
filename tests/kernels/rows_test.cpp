// Norms, RoPE and element-wise operations: against float64, and the same bits on every ISA where
// the headers promise them.

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "kernels/isas.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::kernels {
namespace {

using testing_support::head_sizes;
using testing_support::lengths;
using testing_support::normal_values;
using testing_support::seed;

std::string trace(Isa isa, int64_t length) {
  return trace_of(isa, seed()) + " length " + std::to_string(length);
}

/// run() on each ISA; every result must have the bits of the first.
template <class Run>
void expect_same_bits_on_each_isa(int64_t length, Run run) {
  std::vector<uint32_t> first;
  for (const Isa isa : isas_of_this_cpu()) {
    SCOPED_TRACE(trace(isa, length));
    const ScopedIsa forced(isa);
    std::vector<uint32_t> bits;
    for (const float value : run()) bits.push_back(std::bit_cast<uint32_t>(value));
    if (first.empty()) first = bits;
    ASSERT_EQ(bits, first);
  }
}

template <class Run>
void for_isas_and_lengths(Run run) {
  std::mt19937_64 random(seed());
  for (const int64_t length : lengths()) {
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace(isa, length));
      const ScopedIsa forced(isa);
      run(length, random);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(DotFixedOrder, EqualsFloat64WithinRounding) {
  for_isas_and_lengths([](int64_t length, std::mt19937_64& random) {
    const std::vector<float> a = normal_values(length, random);
    const std::vector<float> b = normal_values(length, random);
    double sum = 0;
    double magnitude = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double term = static_cast<double>(a[i]) * static_cast<double>(b[i]);
      sum += term;
      magnitude += std::abs(term);
    }
    // Each term passes a product, at most length / 32 + 1 additions and 5 of the final tree.
    const double roundings = static_cast<double>(length) / 32 + 8;
    ASSERT_NEAR(dot_fixed_order(a, b), sum, roundings * 0x1p-24 * magnitude);
  });
}

TEST(DotFixedOrder, HasTheSameBitsOnEveryIsa) {
  std::mt19937_64 random(seed());
  for (const int64_t length : lengths()) {
    const std::vector<float> a = normal_values(length, random);
    const std::vector<float> b = normal_values(length, random);
    expect_same_bits_on_each_isa(length, [&] { return std::vector<float>{dot_fixed_order(a, b)}; });
  }
}

TEST(DotFixedOrder, OfNothingIsZeroAndRefusesDifferentSizes) {
  EXPECT_EQ(dot_fixed_order({}, {}), 0.0f);
  const std::vector<float> two(2);
  EXPECT_THROW(dot_fixed_order(two, std::span(two).first(1)), std::logic_error);
}

TEST(RmsNorm, EqualsFloat64WithinRounding) {
  for_isas_and_lengths([](int64_t columns, std::mt19937_64& random) {
    constexpr int64_t kRows = 3;
    constexpr float kEps = 1e-5f;
    const std::vector<float> x = normal_values(kRows * columns, random, 3.0f);
    const std::vector<float> weight = normal_values(columns, random);
    std::vector<float> out(x.size(), NAN);
    rms_norm(x, weight, kEps, out);
    const auto n = static_cast<size_t>(columns);
    for (size_t row = 0; row < kRows; ++row) {
      double squares = 0;
      for (size_t i = 0; i < n; ++i) squares += std::pow(x[row * n + i], 2);
      const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + kEps);
      for (size_t i = 0; i < n; ++i) {
        const double expected = x[row * n + i] * factor * weight[i];
        const double roundings = static_cast<double>(columns) / 64 + 12;  // half: a square root
        ASSERT_NEAR(out[row * n + i], expected, std::abs(expected) * roundings * 0x1p-24)
            << "row " << row << " column " << i;
      }
    }
  });
}

TEST(LayerNorm, EqualsFloat64WithinRounding) {
  for_isas_and_lengths([](int64_t columns, std::mt19937_64& random) {
    constexpr float kEps = 1e-5f;
    std::vector<float> x = normal_values(columns, random);
    for (float& value : x) value += 0.5f;
    const std::vector<float> weight = normal_values(columns, random);
    const std::vector<float> bias = normal_values(columns, random);
    std::vector<float> out(x.size(), NAN);
    layer_norm(x, weight, bias, kEps, out);
    const auto n = static_cast<double>(columns);
    double mean = 0;
    double size = 0;
    for (const float value : x) mean += value / n;
    for (const float value : x) size = std::max(size, std::abs(static_cast<double>(value)));
    double variance = 0;
    for (const float value : x) variance += std::pow(value - mean, 2) / n;
    const double factor = 1 / std::sqrt(variance + kEps);
    const double roundings = n / 32 + 16;
    for (size_t i = 0; i < x.size(); ++i) {
      const double scaled = (x[i] - mean) * factor * weight[i];
      const double mean_error = size * factor * std::abs(weight[i]);
      const double error =
          (std::abs(scaled) + 2 * mean_error + std::abs(bias[i])) * roundings * 0x1p-24;
      ASSERT_NEAR(out[i], scaled + bias[i], error) << "column " << i;
    }
  });
}

TEST(Norms, HaveTheSameBitsOnEveryIsaAndInEveryBatch) {
  std::mt19937_64 random(seed());
  for (const int64_t columns : lengths()) {
    constexpr int64_t kRows = 5;
    const std::vector<float> x = normal_values(kRows * columns, random);
    const std::vector<float> weight = normal_values(columns, random);
    const std::vector<float> bias = normal_values(columns, random);
    expect_same_bits_on_each_isa(columns, [&] {
      std::vector<float> out(x.size());
      rms_norm(x, weight, 1e-6f, out);
      std::vector<float> alone(weight.size());
      const auto last = std::span(x).last(weight.size());
      rms_norm(last, weight, 1e-6f, alone);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), out.end() - columns));
      std::vector<float> layer(x.size());
      layer_norm(x, weight, bias, 1e-6f, layer);
      layer_norm(last, weight, bias, 1e-6f, alone);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), layer.end() - columns));
      out.insert(out.end(), layer.begin(), layer.end());
      return out;
    });
  }
}

TEST(Norms, WorkInPlaceAndOnManyRowsAtOnce) {
  std::mt19937_64 random(seed());
  constexpr int64_t kColumns = 576;
  const std::vector<float> x = normal_values(200 * kColumns, random);
  const std::vector<float> weight = normal_values(kColumns, random);
  std::vector<float> out(x.size());
  rms_norm(x, weight, 1e-6f, out);
  std::vector<float> in_place = x;
  rms_norm(in_place, weight, 1e-6f, in_place);
  EXPECT_EQ(in_place, out);
  std::vector<float> row(kColumns);
  rms_norm(std::span(x).last(kColumns), weight, 1e-6f, row);
  EXPECT_TRUE(std::equal(row.begin(), row.end(), out.end() - kColumns));
}

TEST(Norms, RefuseShapesThatDoNotFit) {
  std::vector<float> x(6);
  const std::vector<float> weight(3);
  const std::span<float> out(x);
  EXPECT_THROW(rms_norm(out.first(5), weight, 1e-6f, out.first(5)), std::logic_error);
  EXPECT_THROW(rms_norm(out, weight, 1e-6f, out.first(3)), std::logic_error);
  EXPECT_THROW(rms_norm(out, {}, 1e-6f, out), std::logic_error);
  EXPECT_THROW(layer_norm(out, weight, out.first(2), 1e-6f, out), std::logic_error);
}

TEST(Rope, TurnsEachPairOfChannelsByItsAngle) {
  std::mt19937_64 random(seed());
  for (const int64_t head_dim : head_sizes()) {
    const int64_t rotary = head_dim == 80 ? 32 : head_dim / 2 * 2;  // 80: partial rotary
    const std::vector<float> angles = normal_values(rotary / 2, random, 10.0f);
    std::vector<float> cosines;
    std::vector<float> sines;
    for (const float angle : angles) {
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
    const std::vector<float> heads = normal_values(3 * head_dim, random);
    for (const Isa isa : isas_of_this_cpu()) {
      SCOPED_TRACE(trace(isa, head_dim));
      const ScopedIsa forced(isa);
      std::vector<float> turned = heads;
      rope(turned, head_dim, cosines, sines);
      for (size_t i = 0; i < heads.size(); ++i) {
        const auto channel = static_cast<int64_t>(i) % head_dim;
        if (channel >= rotary) {
          ASSERT_EQ(turned[i], heads[i]) << "channel " << channel;
          continue;
        }
        const auto pair = static_cast<size_t>(channel % (rotary / 2));
        const bool is_low = channel < rotary / 2;
        const auto half = static_cast<size_t>(rotary / 2);
        const double other = is_low ? -heads[i + half] : heads[i - half];
        const double expected = heads[i] * static_cast<double>(cosines[pair]) + other * sines[pair];
        const double size = std::abs(heads[i]) + std::abs(other);
        ASSERT_NEAR(turned[i], expected, 3 * 0x1p-24 * size) << "channel " << channel;
      }
    }
  }
}

TEST(Rope, RefusesShapesThatDoNotFit) {
  std::vector<float> heads(16);
  const std::vector<float> angles(5);
  const std::span<const float> all(angles);
  EXPECT_THROW(rope(heads, 8, all, all), std::logic_error);
  EXPECT_THROW(rope(heads, 8, all.first(4), all.first(3)), std::logic_error);
  EXPECT_THROW(rope(heads, 7, all.first(2), all.first(2)), std::logic_error);
}

double exact(UnaryOp op, double x) {
  switch (op) {
    case UnaryOp::silu:
      return x / (1 + std::exp(-x));
    case UnaryOp::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case UnaryOp::gelu_tanh: {
      const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return x / (1 + std::exp(-2 * u));
    }
    case UnaryOp::relu:
      break;
  }
  return std::max(x, 0.0);
}

constexpr UnaryOp kOps[] = {UnaryOp::silu, UnaryOp::gelu, UnaryOp::gelu_tanh, UnaryOp::relu};

TEST(Apply, EqualsFloat64ForEveryLengthAndSizeOfArgument) {
  for_isas_and_lengths([](int64_t length, std::mt19937_64& random) {
    for (const UnaryOp op : kOps) {
      const float size = std::vector{0.01f, 1.0f, 10.0f, 60.0f}[random() % 4];
      const std::vector<float> before = normal_values(length, random, size);
      std::vector<float> x = before;
      kernels::apply(op, x);
      for (size_t i = 0; i < x.size(); ++i) {
        // 16 roundings at most, of values no larger than the argument.
        const double error = 0x1p-20 * std::abs(static_cast<double>(before[i])) + 1e-37;
        ASSERT_NEAR(x[i], exact(op, before[i]), error)
            << "op " << static_cast<int>(op) << " of " << before[i];
      }
    }
  });
}

TEST(SoftCap, EqualsFloat64ForEveryLengthAndCap) {
  for_isas_and_lengths([](int64_t length, std::mt19937_64& random) {
    const float cap = std::vector{0.5f, 30.0f, 1000.0f}[random() % 3];
    const float size = std::vector{0.01f, 1.0f, 100.0f, 1e30f}[random() % 4];
    const std::vector<float> before = normal_values(length, random, size);
    std::vector<float> x = before;
    soft_cap(cap, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = cap * std::tanh(static_cast<double>(before[i]) / cap);
      ASSERT_NEAR(x[i], exact, cap * 0x1p-21) << before[i] << " under " << cap;
    }
  });
}

TEST(Apply, HandlesValuesBeyondTheRangeOfTheExponential) {
  for (const Isa isa : isas_of_this_cpu()) {
    SCOPED_TRACE(isa_name(isa));
    const ScopedIsa forced(isa);
    for (const UnaryOp op : kOps) {
      std::vector<float> x{1e4f, -1e4f, 3e38f, -3e38f, 100.0f, -100.0f, 0.0f, NAN, INFINITY};
      const std::vector<float> before = x;
      kernels::apply(op, x);
      for (const size_t i : {0u, 2u, 4u, 6u, 8u}) EXPECT_EQ(x[i], before[i]);
      for (const size_t i : {1u, 3u, 5u}) EXPECT_NEAR(x[i], 0.0f, 1e-37f) << before[i];
      if (op != UnaryOp::relu) {
        EXPECT_TRUE(std::isnan(x[7]));
      }
    }
  }
}

TEST(Apply, IsTheSameInOneCallAndInPieces) {
  std::mt19937_64 random(seed());
  const std::vector<float> values = normal_values(100000, random, 2.0f);
  for (const Isa isa : isas_of_this_cpu()) {
    SCOPED_TRACE(trace(isa, 100000));
    const ScopedIsa forced(isa);
    for (const UnaryOp op : kOps) {
      std::vector<float> whole = values;
      kernels::apply(op, whole);
      std::vector<float> pieces = values;
      for (size_t at = 0; at < pieces.size();) {
        const size_t count = std::min<size_t>(1 + random() % 3000, pieces.size() - at);
        kernels::apply(op, std::span(pieces).subspan(at, count));
        at += count;
      }
      ASSERT_EQ(whole, pieces);
    }
  }
}

}  // namespace
}  // namespace dms::kernels
