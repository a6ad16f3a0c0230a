// The whole model on the device: decisions and logits are the CPU's, however a sequence is cut into
// chunks and turns, or taken back.

#include <vector>

#include <gtest/gtest.h>

#include "cuda/model_fixture.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;
using testing_support::seed;

// Where a logit lies within rounding of zero the CPU is given the device's decision (semantics.md
// section 1).
TEST_P(CudaModelTest, DecisionsAndLogitsAreTheCpusInAnyChunks) {
  const Rows rows = reference();
  cpu::CpuModel cpu_model = cpu::tiny_model(spec_, *source_, DType::bf16);
  Line cpu_line(cpu_model, GetParam().cache, 64);
  cpu_line.append(ids_);
  ASSERT_EQ(cpu_line.decisions().size(), decisions_.size());
  EXPECT_LE(differing(decisions_, cpu_line.decisions()), std::ssize(decisions_) / 50);

  cpu::expect_rows(rows, forced(cpu_model, decisions_), 0, GetParam().tolerance(), "the CPU");

  Rows others;
  Line line = fresh(33);
  line.append(ids_, cpu::into(others));
  expect_same(line, others, rows, 0);
}

TEST_P(CudaSequenceTest, DecisionsOfAFileAreNoOthers) {
  const Rows rows = reference();
  cpu::expect_rows(rows, forced(*model_, decisions_), 0, GetParam().tolerance(), "forced");
}

TEST_P(CudaSequenceTest, TokenByTokenGivesTheSame) {
  const Rows expected = reference();
  Rows rows;
  Line line = fresh(1);
  line.append(ids_, cpu::into(rows));
  expect_same(line, rows, expected, 0);
}

TEST_P(CudaSequenceTest, TurnsOfPrefillAndDecodeGiveTheSame) {
  const Rows expected = reference();
  Rows rows;
  Line line = fresh(32);
  int64_t done = 0;
  for (const int64_t step : {40, 1, 1, 20, 1, 9, 1, 1, 2}) {
    line.append(part(done, done + step), cpu::into(rows));
    done += step;
  }
  ASSERT_EQ(done, kTokens);
  expect_same(line, rows, expected, 0);
}

TEST_P(CudaSequenceTest, RollbackLeavesNoTrace) {
  const Rows expected = reference();
  const std::vector<int32_t> wrong = cpu::random_ids(60, spec_.vocab, seed() + 1);
  for (const int64_t extra : {32, 40}) {
    SCOPED_TRACE(extra);
    Line line = fresh(32);
    line.append(part(0, 66));
    line.append(std::span(wrong).first(static_cast<size_t>(extra)));
    line.truncate(66);
    Rows rows;
    line.append(part(66, kTokens), cpu::into(rows));
    expect_same(line, rows, expected, 66);
  }
}

TEST_P(CudaSequenceTest, CountsWhatItHolds) {
  Line line = fresh(40);
  line.append(ids_);
  const engine::SequenceState& state = line.sequence()->state();
  const std::vector<int32_t> held = state.held_heads();
  const std::vector<const engine::SequenceState*> states{&state};
  const KvStats kv = model_->usage(states);
  EXPECT_EQ(kv.dense_tokens, kTokens * spec_.layers * spec_.kv_heads);
  int64_t sum = 0;
  for (const int32_t count : held) sum += count;
  EXPECT_EQ(kv.held_tokens, sum);
  EXPECT_GE(kv.allocated_bytes, state.held_bytes());
  EXPECT_EQ(model_->memory().used_bytes, state.held_bytes());
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaModelTest, testing::ValuesIn(model_cases()), kModelCaseName);
INSTANTIATE_TEST_SUITE_P(Cases,
                         CudaSequenceTest,
                         testing::ValuesIn(few_model_cases()),
                         kModelCaseName);

}  // namespace
}  // namespace dms::cuda
