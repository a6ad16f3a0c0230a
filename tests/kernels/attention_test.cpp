#include "kernels/attention.h"

#include <gtest/gtest.h>

#include "kernels/attention_cases.h"
#include "kernels/attention_mass.h"

namespace dms::kernels {
namespace {

/// Runs a problem whole and merged from one partial: [rows, head_dim].
struct Result {
  PartialBuffer partial;
  std::vector<float> output;
};

Result run(const AttentionProblem& problem) {
  const AttentionShape& shape = problem.shape();
  Result result{PartialBuffer(problem.rows(), shape.head_dim), {}};
  attend(problem.args(), result.partial.view());
  result.output.assign(result.partial.output.size(), 7.0f);
  const std::vector<AttentionPartial> partials{result.partial.view()};
  merge_partials(partials,
                 shape.positions,
                 shape.group,
                 shape.head_dim,
                 result.output,
                 shape.group * shape.head_dim);
  return result;
}

void expect_row(const AttentionProblem& problem, int64_t row, const Result& result) {
  const RowAnswer answer = problem.answer(row);
  const auto r = static_cast<size_t>(row);
  const double error = problem.relative_error(answer);
  if (answer.sum == 0) {
    EXPECT_EQ(result.partial.max[r], -std::numeric_limits<float>::infinity());
    EXPECT_EQ(result.partial.sum[r], 0.0f);
  } else {
    const double max_error = answer.score_error + std::abs(answer.max) * 0x1p-21;
    ASSERT_NEAR(result.partial.max[r], answer.max, max_error + 1e-30);
    const double scale = std::exp(result.partial.max[r] - answer.max);
    ASSERT_NEAR(result.partial.sum[r] * scale, answer.sum, answer.sum * error);
  }
  for (size_t c = 0; c < answer.output.size(); ++c) {
    ASSERT_NEAR(result.output[r * answer.output.size() + c],
                answer.output[c],
                answer.magnitude[c] * error + 1e-30)
        << "channel " << c;
  }
}

void expect_answer(const AttentionShape& shape, uint64_t seed) {
  const AttentionProblem problem(shape, seed);
  for (const Isa isa : isas_of_this_cpu()) {
    SCOPED_TRACE(std::string(isa_name(isa)) + ": " + describe(shape) + " seed " +
                 std::to_string(seed));
    const ScopedIsa forced(isa);
    const Result result = run(problem);
    for (int64_t row = 0; row < problem.rows(); ++row) {
      SCOPED_TRACE("row " + std::to_string(row));
      expect_row(problem, row, result);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(AttentionMass, IsTheMeanSoftmaxWeightInFloat64) {
  constexpr size_t kHeadDim = 20;
  constexpr size_t kGroup = 3;
  std::mt19937_64 random(testing_support::seed());
  std::normal_distribution<float> normal;
  std::vector<int32_t> positions;
  for (int32_t position = 0; position < 70; position += 1 + static_cast<int32_t>(random() % 3)) {
    positions.push_back(position);
  }
  const size_t entries = positions.size();
  const auto numbers = [&](size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  };
  const std::vector<float> keys = numbers(entries * kHeadDim);
  const std::vector<float> heads = numbers(2 * kGroup * kHeadDim);
  const std::vector<float> biases = numbers(kGroup * entries);
  const std::vector<QueryRow> queries{
      {.heads = std::span(heads).first(kGroup * kHeadDim), .position = 40},
      {.heads = std::span(heads).last(kGroup * kHeadDim), .position = 69}};
  for (const double cap : {0.0, 0.5}) {
    for (const int64_t sliding : {0, 20}) {
      std::vector<double> expected(entries, 0.0);
      for (const QueryRow& row : queries) {
        for (size_t head = 0; head < kGroup; ++head) {
          std::vector<double> weights(entries, 0.0);
          double sum = 0;
          for (size_t i = 0; i < entries; ++i) {
            const int64_t distance = row.position - positions[i];
            if (distance < 0 || (sliding > 0 && distance >= sliding)) continue;
            double score = static_cast<double>(biases[head * entries + i]);
            for (size_t c = 0; c < kHeadDim; ++c) {
              score += static_cast<double>(row.heads[head * kHeadDim + c]) *
                       static_cast<double>(keys[i * kHeadDim + c]);
            }
            score *= 0.7;
            sum += weights[i] = std::exp(cap > 0 ? cap * std::tanh(score / cap) : score);
          }
          for (size_t i = 0; i < entries; ++i) expected[i] += weights[i] / sum / (2 * kGroup);
        }
      }
      std::vector<float> mass(entries);
      attention_mass({.keys = keys,
                      .positions = positions,
                      .queries = queries,
                      .biases = biases,
                      .head_dim = kHeadDim,
                      .group = kGroup,
                      .scale = 0.7f,
                      .soft_cap = static_cast<float>(cap),
                      .sliding_window = sliding},
                     mass);
      for (size_t i = 0; i < entries; ++i) EXPECT_NEAR(mass[i], expected[i], 1e-6) << i;
    }
  }
}

class Attention : public testing::TestWithParam<PageFormat> {};

/// Each format on both sides, and some pairs of formats.
std::vector<PageFormat> page_formats() {
  std::vector<PageFormat> formats(kv_formats().begin(), kv_formats().end());
  formats.emplace_back(KvFormat::int8, KvFormat::lloyd4);
  formats.emplace_back(KvFormat::higgs3, KvFormat::bf16);
  formats.emplace_back(KvFormat::bf16, KvFormat::int4);
  return formats;
}

std::string test_name(const testing::TestParamInfo<PageFormat>& format) {
  std::string name = page_format_name(format.param);
  std::erase_if(name, [](char c) { return c == '=' || c == ','; });
  return name;
}

INSTANTIATE_TEST_SUITE_P(Formats, Attention, testing::ValuesIn(page_formats()), test_name);

TEST_P(Attention, EqualsFloat64OnUsualShapes) {
  uint64_t seed = testing_support::seed();
  for (const int64_t head_dim : {20, 64, 80, 128, 192}) {
    for (const int64_t group : {1, 4, 8}) {
      for (const int64_t positions : {1, 32}) {
        expect_answer({.format = GetParam(),
                       .head_dim = head_dim,
                       .group = group,
                       .positions = positions,
                       .pages = 9},
                      ++seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Attention, EqualsFloat64OnRandomShapes) {
  uint64_t seed = testing_support::seed();
  std::mt19937_64 random(seed);
  const auto between = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  for (int trial = 0; trial < 40; ++trial) {
    expect_answer({.format = GetParam(),
                   .head_dim = between(1, 130),
                   .group = between(1, 8),
                   .positions = between(0, 2) == 0 ? 1 : between(1, 32),
                   .pages = between(0, 20),
                   .masks = static_cast<Masks>(between(0, 6)),
                   .far = between(0, 2) == 0,
                   .score_size = between(0, 3) == 0 ? 10.0f : 1.0f},
                  ++seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Attention, CapsScores) {
  uint64_t seed = testing_support::seed();
  for (const float soft_cap : {0.7f, 5.0f, 50.0f}) {
    for (const float score_size : {0.01f, 3.0f, 1e4f}) {
      for (const int64_t positions : {1, 7}) {
        expect_answer({.format = GetParam(),
                       .head_dim = 40,
                       .group = 3,
                       .positions = positions,
                       .pages = 6,
                       .score_size = score_size,
                       .soft_cap = soft_cap},
                      ++seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Attention, AddsBiasesOfTokensAndOfFarPages) {
  uint64_t seed = testing_support::seed();
  for (const float soft_cap : {0.0f, 5.0f}) {
    for (const bool far : {false, true}) {
      for (const int64_t positions : {1, 7, 32}) {
        expect_answer({.format = GetParam(),
                       .head_dim = 24,
                       .group = 3,
                       .positions = positions,
                       .pages = 7,
                       .far = far,
                       .soft_cap = soft_cap,
                       .biased = true},
                      ++seed);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Attention, TakesLargeHeadsAndGroups) {
  expect_answer({.format = GetParam(), .head_dim = 256, .group = 1, .positions = 3, .pages = 5},
                testing_support::seed());
  expect_answer({.format = GetParam(), .head_dim = 64, .group = 71, .positions = 4, .pages = 3},
                testing_support::seed());
}

TEST_P(Attention, SurvivesExtremeScores) {
  for (const Masks masks : {Masks::none, Masks::random, Masks::some_rows_empty}) {
    expect_answer({.format = GetParam(),
                   .head_dim = 64,
                   .group = 2,
                   .positions = 7,
                   .pages = 6,
                   .masks = masks,
                   .score_size = 1e4f},
                  testing_support::seed());
  }
}

TEST_P(Attention, GivesZerosToAQueryThatSeesNothing) {
  for (const int64_t pages : {0, 1, 4, 5}) {
    expect_answer({.format = GetParam(),
                   .head_dim = 33,
                   .group = 3,
                   .positions = 5,
                   .pages = pages,
                   .masks = Masks::all_empty},
                  testing_support::seed());
  }
}

TEST_P(Attention, GivesARowTheSameBitsAloneAndInATile) {
  uint64_t seed = testing_support::seed();
  for (const Masks masks :
       {Masks::none, Masks::random, Masks::sparse, Masks::some_rows_empty, Masks::edges}) {
    for (const int64_t head_dim : {64, 128, 37}) {
      const AttentionShape shape{.format = GetParam(),
                                 .head_dim = head_dim,
                                 .group = 3,
                                 .positions = 11,
                                 .pages = 11,
                                 .masks = masks,
                                 .far = true};
      const AttentionProblem problem(shape, ++seed);
      for (const Isa isa : isas_of_this_cpu()) {
        SCOPED_TRACE(std::string(isa_name(isa)) + ": " + describe(shape));
        const ScopedIsa forced(isa);
        const Result whole = run(problem);
        for (int64_t row = 0; row < problem.rows(); ++row) {
          PartialBuffer alone(1, head_dim);
          std::vector<PageRef> refs;
          attend(problem.row_args(row, refs), alone.view());
          const auto r = static_cast<size_t>(row);
          ASSERT_EQ(alone.max[0], whole.partial.max[r]) << "row " << row;
          ASSERT_EQ(alone.sum[0], whole.partial.sum[r]) << "row " << row;
          for (size_t c = 0; c < alone.output.size(); ++c) {
            ASSERT_EQ(alone.output[c], whole.partial.output[r * alone.output.size() + c])
                << "row " << row << " channel " << c;
          }
        }
      }
    }
  }
}

/// Splits the pages at `cuts` and merges the parts.
std::vector<float> run_split(const AttentionProblem& problem, const std::vector<int64_t>& cuts) {
  const AttentionShape& shape = problem.shape();
  std::vector<PartialBuffer> buffers;
  int64_t first = 0;
  for (const int64_t cut : cuts) {
    AttentionArgs args = problem.args();
    args.pages = args.pages.subspan(static_cast<size_t>(first), static_cast<size_t>(cut - first));
    buffers.emplace_back(problem.rows(), shape.head_dim);
    attend(args, buffers.back().view());
    first = cut;
  }
  std::vector<AttentionPartial> partials;
  for (PartialBuffer& buffer : buffers) partials.push_back(buffer.view());
  std::vector<float> output(static_cast<size_t>(problem.rows() * shape.head_dim), 7.0f);
  merge_partials(
      partials, shape.positions, shape.group, shape.head_dim, output, shape.group * shape.head_dim);
  return output;
}

TEST_P(Attention, MergesPartsIntoTheWhole) {
  uint64_t seed = testing_support::seed();
  for (const Masks masks : {Masks::random, Masks::some_pages_empty, Masks::all_empty}) {
    const AttentionShape shape{.format = GetParam(),
                               .head_dim = 40,
                               .group = 2,
                               .positions = 5,
                               .pages = 12,
                               .masks = masks,
                               .score_size = 5.0f};
    const AttentionProblem problem(shape, ++seed);
    const std::vector<float> output = run_split(problem, {0, 1, 2, 7, 7, 12});
    for (int64_t row = 0; row < problem.rows(); ++row) {
      const RowAnswer answer = problem.answer(row);
      const double max_rounding = answer.sum > 0 ? std::abs(answer.max) * 0x1p-20 : 0.0;
      const double error = problem.relative_error(answer) + max_rounding;
      for (size_t c = 0; c < answer.output.size(); ++c) {
        ASSERT_NEAR(output[static_cast<size_t>(row) * answer.output.size() + c],
                    answer.output[c],
                    answer.magnitude[c] * error + 1e-30)
            << describe(shape) << " row " << row << " channel " << c;
      }
    }
  }
}

TEST(MergePartials, RespectsTheOutputStride) {
  PartialBuffer part(4, 2);
  part.sum.assign(4, 2.0f);
  std::vector<float> out(12, -1.0f);
  const std::vector<AttentionPartial> partials{part.view()};
  merge_partials(partials, 2, 2, 2, out, 7);
  const std::vector<float> expected{3.5f, 3.5f, 3.5f, 3.5f, -1, -1, -1, 3.5f, 3.5f, 3.5f, 3.5f, -1};
  EXPECT_EQ(out, expected);
}

TEST(MergePartials, GivesZerosForNoPartsAtAll) {
  std::vector<float> out(6, -1.0f);
  merge_partials({}, 1, 2, 3, out, 6);
  EXPECT_EQ(out, std::vector<float>(6, 0.0f));
}

TEST(AttendChecks, RefusesWrongShapes) {
  const AttentionProblem problem({.head_dim = 8, .positions = 2}, testing_support::seed());
  PartialBuffer partial(2, 8);
  AttentionArgs args = problem.args();
  args.positions = kMaxTilePositions + 1;
  EXPECT_THROW(attend(args, partial.view()), std::logic_error);
  args = problem.args();
  args.q = args.q.first(8);
  EXPECT_THROW(attend(args, partial.view()), std::logic_error);
  PartialBuffer small(1, 8);
  EXPECT_THROW(attend(problem.args(), small.view()), std::logic_error);
}

}  // namespace
}  // namespace dms::kernels
