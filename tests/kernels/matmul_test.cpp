#include "kernels/matmul.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/isas.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::kernels {
namespace {

using testing_support::normal_values;
using testing_support::seed;
using testing_support::trials;

struct Kind {
  WeightFormat weights;
  Compute compute;
  bool minima = false;

  bool rounds_to_int8() const { return compute == Compute::int8 && is_quantised(weights); }
};

constexpr Kind kKinds[] = {{WeightFormat::f32, Compute::f32},
                           {WeightFormat::bf16, Compute::f32},
                           {WeightFormat::bf16, Compute::bf16},
                           {WeightFormat::bf16, Compute::int8},
                           {WeightFormat::int8, Compute::f32},
                           {WeightFormat::int4, Compute::f32, true},
                           {WeightFormat::int8, Compute::int8},
                           {WeightFormat::int8, Compute::int8, true},
                           {WeightFormat::int4, Compute::int8},
                           {WeightFormat::int4, Compute::int8, true}};

struct Shape {
  int64_t rows;
  int64_t outputs;
  int64_t columns;
};

std::string describe(const Kind& kind, const Shape& shape) {
  constexpr std::array kCompute{"f32", "bf16", "int8"};
  return std::string(weight_format_name(kind.weights)) +
         (kind.minima ? " weights with minima, " : " weights, ") +
         kCompute[static_cast<size_t>(kind.compute)] + " product, rows " +
         std::to_string(shape.rows) + " outputs " + std::to_string(shape.outputs) + " columns " +
         std::to_string(shape.columns);
}

PackedMatrix packed(const Kind& kind, int64_t outputs, int64_t columns, std::mt19937_64& random) {
  PackedMatrix matrix(kind.weights, outputs, columns, kind.minima);
  for (int64_t panel = 0; panel < matrix.panels(); ++panel) {
    const int64_t count = std::min(kPanelRows, outputs - panel * kPanelRows);
    std::vector<float> rows = normal_values(count * columns, random);
    std::fill_n(rows.begin(), std::min<int64_t>(columns, 40), 0.0f);  // a group without a scale
    matrix.set_panel_rows(panel, 0, count, rows);
  }
  return matrix;
}

/// A sum in float64 and what float32 may make of it: every addition and every product rounds to
/// 2^-24 of at most the sum of magnitudes; vdpbf16ps takes products below 2^-126 for zero.
struct Sum {
  double value = 0;
  double magnitude = 0;
  int64_t terms = 0;

  void add(double term) { add(term, std::abs(term)); }
  void add(double term, double size) {
    value += term;
    magnitude += size;
    ++terms;
  }
  double error() const {
    const auto n = static_cast<double>(terms);
    return (2 * n + 2) * 0x1p-24 * magnitude + n * 0x1p-126;
  }
};

/// The definition in quantised_tile.h, in the words of its header.
std::vector<double> rounded_to_int8(std::span<const float> x) {
  const auto largest = [](std::span<const float> values) {
    return std::abs(*std::ranges::max_element(values, {}, [](float v) { return std::abs(v); }));
  };
  std::vector<double> values(x.size(), 0.0);
  const float unit = largest(x) / 127.0f;
  if (unit < 0x1p-96f) return values;
  for (size_t first = 0; first < x.size(); first += 32) {
    const std::span<const float> group = x.subspan(first, std::min<size_t>(32, x.size() - first));
    const float ratio = largest(group) / largest(x);
    if (ratio < 0x1p-24f) continue;
    const float power = std::exp2(std::floor(std::log2(ratio)));
    const float factor = std::ceil(16.0f * ratio / power) / 16.0f * power;
    const float inverse = 1.0f / (factor * unit);
    for (size_t i = 0; i < group.size(); ++i) {
      const double code = std::nearbyint(group[i] * inverse);
      EXPECT_LE(std::abs(code), 127.0);
      values[first + i] = code * static_cast<double>(factor) * static_cast<double>(unit);
    }
  }
  return values;
}

/// A random product, its inputs and each element in float64.
struct Problem {
  Problem(const Kind& k, const Shape& s, uint64_t seed_of_values)
      : kind(k),
        shape(s),
        random(seed_of_values),
        weights(packed(k, s.outputs, s.columns, random)),
        x(normal_values(s.rows * s.columns, random)),
        bias(normal_values(s.outputs, random)) {
    for (int64_t row = 0; row < s.rows; ++row) taken.push_back(rounded(row));
  }

  /// A row of activations as the product takes them.
  std::vector<double> rounded(int64_t row) const {
    const auto columns = static_cast<size_t>(shape.columns);
    const std::span<const float> from =
        std::span(x).subspan(static_cast<size_t>(row) * columns, columns);
    if (kind.rounds_to_int8()) return rounded_to_int8(from);
    std::vector<double> values(from.begin(), from.end());
    if (kind.compute == Compute::f32) return values;
    std::ranges::transform(from, values.begin(), [](float v) { return to_float(to_bf16(v)); });
    return values;
  }

  Sum element(int64_t row, int64_t output) const {
    Sum sum;
    std::vector<float> w(static_cast<size_t>(shape.columns));
    weights.get_row(output, w);
    // scale * code and minimum are added one after the other, and may be larger than their sum.
    const auto largest = static_cast<double>(
        std::abs(*std::ranges::max_element(w, {}, [](float value) { return std::abs(value); })));
    const std::vector<double>& values = taken[static_cast<size_t>(row)];
    for (size_t column = 0; column < w.size(); ++column) {
      const auto weight = static_cast<double>(w[column]);
      const double size = kind.minima ? 3 * largest : std::abs(weight);
      sum.add(values[column] * weight, std::abs(values[column]) * size);
    }
    return sum;
  }

  MatmulArgs args(std::span<float> out, int64_t out_columns, Epilogue epilogue) const {
    return {.weights = weights,
            .x = x,
            .out = out,
            .rows = shape.rows,
            .out_columns = out_columns,
            .compute = kind.compute,
            .epilogue = epilogue};
  }

  std::vector<float> product() const {
    std::vector<float> out(static_cast<size_t>(shape.rows * shape.outputs), NAN);
    matmul(args(out, shape.outputs, Epilogue::store));
    return out;
  }

  Kind kind;
  Shape shape;
  std::mt19937_64 random;
  PackedMatrix weights;
  std::vector<float> x;
  std::vector<float> bias;
  std::vector<std::vector<double>> taken;  // x as the product takes it
};

/// check(row, output) for every element where few, for random ones where many.
template <class Check>
void for_elements(const Problem& problem, int64_t outputs, Check check) {
  const int64_t count = problem.shape.rows * outputs;
  std::mt19937_64 random(seed());
  const bool all = count <= 1000;
  for (int64_t i = 0; i < std::min<int64_t>(count, 1000); ++i) {
    const int64_t index = all ? i : static_cast<int64_t>(random() % static_cast<uint64_t>(count));
    check(index / outputs, index % outputs);
    if (testing::Test::HasFatalFailure()) return;
  }
}

/// run(problem) on each ISA, for each kind of product and shape.
template <class Run>
void for_problems(const std::vector<Shape>& shapes, Run run) {
  for (const Kind& kind : kKinds) {
    for (const Shape& shape : shapes) {
      const Problem problem(kind, shape, seed());
      for (const Isa isa : isas_of_this_cpu()) {
        SCOPED_TRACE(trace_of(isa, seed()) + ": " + describe(kind, shape));
        const ScopedIsa forced(isa);
        run(problem);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

std::vector<Shape> edge_shapes() {
  std::vector<Shape> shapes;
  for (int64_t rows = 1; rows <= 14; ++rows) shapes.push_back({rows, 40, 50});
  for (const int64_t outputs : {1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 130}) {
    shapes.push_back({2, outputs, 24});
    shapes.push_back({15, outputs, 9});
  }
  for (int64_t columns = 1; columns <= 36; ++columns) shapes.push_back({3, 34, columns});
  for (const int64_t columns : {63, 64, 65, 127, 129, 2047, 2048, 2049, 2051, 4097}) {
    shapes.push_back({1, 33, columns});
    shapes.push_back({13, 33, columns});
  }
  return shapes;
}

void expect_products(const Problem& problem) {
  const std::vector<float> out = problem.product();
  for_elements(problem, problem.shape.outputs, [&](int64_t row, int64_t output) {
    const Sum sum = problem.element(row, output);
    ASSERT_NEAR(
        out[static_cast<size_t>(row * problem.shape.outputs + output)], sum.value, sum.error())
        << "row " << row << " output " << output;
  });
}

TEST(Matmul, EqualsFloat64WithinRoundingAtEveryEdge) {
  for_problems(edge_shapes(), expect_products);
}

TEST(Matmul, EqualsFloat64WithinRoundingOnRandomShapes) {
  std::mt19937_64 random(seed());
  const auto up_to = [&](uint64_t n) { return 1 + static_cast<int64_t>(random() % n); };
  std::vector<Shape> shapes;
  for (int64_t i = 0; i < trials(40); ++i) {
    shapes.push_back({up_to(60), up_to(200), up_to(300)});
  }
  for_problems(shapes, expect_products);
}

TEST(Matmul, AddsBiasAndResidual) {
  for_problems({{1, 33, 20}, {5, 64, 33}, {30, 47, 12}}, [](const Problem& problem) {
    const int64_t outputs = problem.shape.outputs;
    const std::vector<float> residual = [&] {
      std::mt19937_64 random(seed() + 1);
      return normal_values(problem.shape.rows * outputs, random);
    }();
    std::vector<float> out = residual;
    MatmulArgs args = problem.args(out, outputs, Epilogue::accumulate);
    args.bias = problem.bias;
    matmul(args);
    for_elements(problem, outputs, [&](int64_t row, int64_t output) {
      Sum sum = problem.element(row, output);
      const auto at = static_cast<size_t>(row * outputs + output);
      sum.add(static_cast<double>(problem.bias[static_cast<size_t>(output)]));
      sum.add(static_cast<double>(residual[at]));
      ASSERT_NEAR(out[at], sum.value, sum.error()) << "row " << row << " output " << output;
    });
  });
}

double activation(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::silu_gate:
      return x / (1 + std::exp(-x));
    case Epilogue::gelu_gate:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Epilogue::gelu_tanh_gate:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    default:
      return std::max(x, 0.0);
  }
}

/// Both factors carry the error of their sums (an activation's slope is at most 1.13) and the
/// activation its own of a few units in the last place of x.
double gated_error(const Sum& gate, double activated, const Sum& up) {
  const double gate_error = 1.13 * gate.error() + std::abs(gate.value) * 0x1p-20;
  return gate_error * (std::abs(up.value) + up.error()) + std::abs(activated) * up.error() +
         std::abs(activated * up.value) * 0x1p-23;
}

void expect_gated(const Problem& problem, int64_t ffn, Epilogue epilogue) {
  std::vector<float> out(static_cast<size_t>(problem.shape.rows * ffn), NAN);
  MatmulArgs args = problem.args(out, ffn, epilogue);
  args.bias = problem.bias;
  matmul(args);
  for_elements(problem, ffn, [&](int64_t row, int64_t output) {
    const int64_t gate_row = output / 16 * 32 + output % 16;
    Sum gate = problem.element(row, gate_row);
    Sum up = problem.element(row, gate_row + 16);
    gate.add(static_cast<double>(problem.bias[static_cast<size_t>(gate_row)]));
    up.add(static_cast<double>(problem.bias[static_cast<size_t>(gate_row + 16)]));
    const double activated = activation(epilogue, gate.value);
    ASSERT_NEAR(out[static_cast<size_t>(row * ffn + output)],
                activated * up.value,
                gated_error(gate, activated, up))
        << "row " << row << " output " << output;
  });
}

TEST(Matmul, FinishesGatedOutputs) {
  for (const int64_t ffn : {1, 15, 16, 17, 40, 64}) {
    const int64_t outputs = 2 * ((ffn + 15) / 16 * 16);
    for_problems({{1, outputs, 18}, {14, outputs, 33}}, [&](const Problem& problem) {
      for (const Epilogue epilogue : {Epilogue::silu_gate,
                                      Epilogue::gelu_gate,
                                      Epilogue::gelu_tanh_gate,
                                      Epilogue::relu_gate}) {
        SCOPED_TRACE("epilogue " + std::to_string(static_cast<int>(epilogue)));
        expect_gated(problem, ffn, epilogue);
      }
    });
  }
}

/// The rows from `first` on, by a product of their own.
std::vector<float> rows_alone(const Problem& problem, int64_t first, int64_t count) {
  const Shape& shape = problem.shape;
  std::vector<float> out(static_cast<size_t>(count * shape.outputs));
  MatmulArgs args = problem.args(out, shape.outputs, Epilogue::store);
  args.rows = count;
  args.x = args.x.subspan(static_cast<size_t>(first * shape.columns),
                          static_cast<size_t>(count * shape.columns));
  matmul(args);
  return out;
}

void expect_same_bits(const Problem& problem, int64_t batch, const std::vector<float>& whole) {
  const Shape& shape = problem.shape;
  for (int64_t first = 0; first < shape.rows; first += batch) {
    const int64_t count = std::min(batch, shape.rows - first);
    const std::vector<float> alone = rows_alone(problem, first, count);
    const size_t bytes = alone.size() * sizeof(float);
    ASSERT_EQ(std::memcmp(alone.data(), whole.data() + first * shape.outputs, bytes), 0)
        << "rows from " << first << ", " << count << " at a time";
  }
}

TEST(Matmul, GivesARowTheSameBitsInEveryBatchAndOnAnyThreads) {
  // More rows than a block of rows, more columns than a block of columns, many panels to share.
  const std::vector<Shape> shapes{{27, 100, 70}, {40, 64, 5003}, {530, 40, 30}, {7, 500, 700}};
  for_problems(shapes, [](const Problem& problem) {
    const ScopedThreads scoped(1);
    const std::vector<float> whole = problem.product();
    for (const int64_t batch : {1, 2, 3, 5, 12, 13, 25}) expect_same_bits(problem, batch, whole);
    for (const int64_t threads : {2, 3, 4}) {
      use_threads(threads);
      const std::vector<float> again = problem.product();
      EXPECT_EQ(std::memcmp(again.data(), whole.data(), whole.size() * sizeof(float)), 0);
    }
  });
}

TEST(Matmul, OfQuantisedWeightsHasTheSameBitsOnEveryInstructionSet) {
  for (const Kind& kind : kKinds) {
    if (!kind.rounds_to_int8()) continue;
    for (const Shape& shape : {Shape{1, 70, 64}, Shape{7, 33, 45}, Shape{40, 64, 5003}}) {
      Problem problem(kind, shape, seed());
      // Of all sizes: each group has a factor of its own, down to none.
      for (size_t i = 0; i < problem.x.size(); ++i) {
        problem.x[i] *= std::exp2(-static_cast<float>(i / 32 % 29));
      }
      std::vector<std::vector<float>> products;
      for (const Isa isa : isas_of_this_cpu()) {
        const ScopedIsa forced(isa);
        products.push_back(problem.product());
        ASSERT_EQ(std::memcmp(products.back().data(),
                              products.front().data(),
                              products.front().size() * sizeof(float)),
                  0)
            << trace_of(isa, seed()) << ": " << describe(kind, shape);
      }
    }
  }
}

/// The largest sums of products that codes can give, of either sign.
TEST(Matmul, OfQuantisedWeightsHoldsTheLargestDotProducts) {
  for (const Kind& kind : kKinds) {
    if (!kind.rounds_to_int8()) continue;
    for (const float sign : {1.0f, -1.0f}) {
      for (const int32_t code : {0, largest_code(kind.weights)}) {
        PackedMatrix weights(kind.weights, 32, 96, kind.minima);
        const std::vector<uint8_t> codes(32 * 96, static_cast<uint8_t>(code));
        const std::vector<float> scales(32 * 3, 0.5f);
        weights.set_panel_rows(0, 0, {.format = kind.weights, .codes = codes, .scales = scales});
        const std::vector<float> x(2 * 96, sign * 3.0f);
        const float expected =
            sign * 3.0f * 96.0f * 0.5f * static_cast<float>(code - zero_code(kind.weights));
        for (const Isa isa : isas_of_this_cpu()) {
          const ScopedIsa forced(isa);
          std::vector<float> out(2 * 32);
          matmul({.weights = weights,
                  .x = x,
                  .out = out,
                  .rows = 2,
                  .out_columns = 32,
                  .compute = Compute::int8});
          for (const float y : out) {
            ASSERT_NEAR(y, expected, 1e-5f * std::abs(expected)) << trace_of(isa, seed());
          }
        }
      }
    }
  }
}

TEST(Matmul, CarriesInfinitiesAndNansOfARowOnlyIntoThatRow) {
  for_problems({{14, 33, 40}}, [](const Problem& original) {
    Problem problem(original.kind, original.shape, seed());
    problem.x[3 * 40 + 7] = INFINITY;
    problem.x[9 * 40 + 39] = NAN;
    const std::vector<float> out = problem.product();
    for (int64_t i = 0; i < std::ssize(out); ++i) {
      const bool is_poisoned = i / 33 == 3 || i / 33 == 9;
      ASSERT_EQ(std::isfinite(out[static_cast<size_t>(i)]), !is_poisoned) << "element " << i;
    }
  });
}

TEST(Matmul, RefusesShapesThatDoNotFit) {
  const Problem problem({WeightFormat::bf16, Compute::bf16}, {2, 64, 8}, seed());
  std::vector<float> out(2 * 64);
  const MatmulArgs good = problem.args(out, 64, Epilogue::store);
  const auto expect_refused = [&](auto change) {
    MatmulArgs bad = good;
    change(bad);
    EXPECT_THROW(matmul(bad), std::logic_error);
  };
  EXPECT_NO_THROW(matmul(good));
  expect_refused([](MatmulArgs& args) { args.rows = 0; });
  expect_refused([](MatmulArgs& args) { args.rows = 3; });
  expect_refused([](MatmulArgs& args) { args.out_columns = 63; });
  expect_refused([](MatmulArgs& args) { args.x = args.x.first(15); });
  expect_refused([](MatmulArgs& args) { args.out = args.out.first(127); });
  expect_refused([&](MatmulArgs& args) { args.bias = std::span(problem.bias).first(32); });
  expect_refused([](MatmulArgs& args) { args.epilogue = Epilogue::silu_gate; });
}

TEST(Matmul, RefusesABf16ProductOfF32Weights) {
  const Problem problem({WeightFormat::f32, Compute::f32}, {1, 32, 8}, seed());
  std::vector<float> out(32);
  MatmulArgs args = problem.args(out, 32, Epilogue::store);
  args.compute = Compute::bf16;
  EXPECT_THROW(matmul(args), std::logic_error);
}

}  // namespace
}  // namespace dms::kernels
