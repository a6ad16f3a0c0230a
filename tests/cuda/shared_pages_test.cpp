// Sequences beside each other: branches that share pages, more of them than there are slots, and
// those that start again while others hold theirs.

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/model_fixture.h"

namespace dms::cuda {
namespace {

using cpu::Line;
using cpu::Rows;
using testing_support::seed;

class SharedPagesTest : public CudaSequenceTest {};

TEST_P(SharedPagesTest, BranchesDoNotDisturbEachOther) {
  const Rows expected = reference();
  const std::vector<int32_t> other = cpu::random_ids(20, spec_.vocab, seed() + 2);
  Line line = fresh(32);
  line.append(part(0, 71));
  Line branch = line.fork();
  const int64_t held = line.sequence()->state().held_bytes();
  EXPECT_EQ(model_->memory().used_bytes, held) << "a branch shares all";
  branch.append(other);
  Rows rows;
  line.append(part(71, kTokens), cpu::into(rows));
  expect_same(line, rows, expected, 71);
  rows.clear();
  branch.truncate(71);
  branch.append(part(71, kTokens), cpu::into(rows));
  expect_same(branch, rows, expected, 71);
}

TEST_P(SharedPagesTest, ABranchTakesThePageThatItWrites) {
  Line line = fresh(32);
  line.append(part(0, 71));
  Line branch = line.fork();
  const int64_t before = model_->memory().used_bytes;
  branch.append(part(71, 72));
  const int64_t page = page_bytes(KvFormat::bf16, static_cast<int>(spec_.head_dim));
  // Of each head one of the window, and one of the survivors.
  EXPECT_LE(model_->memory().used_bytes - before, 2 * spec_.layers * spec_.kv_heads * page);
}

// More sequences than the device has slots: some of each pass are parked before the next.
TEST_P(SharedPagesTest, ABatchGivesEachSequenceWhatItGetsAlone) {
  const Rows expected = reference();
  engine::Engine engine(*model_, {}, {.chunk_tokens = 32, .max_step_tokens = 64});
  std::vector<Line> lines;
  const std::vector<int64_t> lengths{3, 74, 50, 33, 64, 70};
  std::vector<Rows> rows(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    lines.push_back(fresh(64));
    lines.back().append(part(0, lengths[i]));
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto next = part(lengths[i], lengths[i] + (i % 2 == 0 ? 1 : 2));
    engine.submit(
        {.request = {.prompt = {next.begin(), next.end()}, .sampling = {.max_new_tokens = 0}},
         .sequence = lines[i].sequence(),
         .prompt_logits = engine::LogitRows::all,
         .on_logits = cpu::into(rows[i])});
  }
  while (engine.step()) {
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    cpu::expect_rows(rows[i], expected, lengths[i], GetParam().tolerance(), "batch");
  }
}

// A request that is preempted twice; the second time before the first replay has come to its end.
TEST_P(SharedPagesTest, ASecondRestartForgetsNoDecision) {
  Line line = fresh(32);
  line.append(ids_);
  const std::vector<uint8_t> decisions = line.decisions();
  engine::SequenceState& state = line.sequence()->state();
  const auto append = [&](int64_t begin, int64_t end) {
    const std::vector<engine::Part> parts{{.sequence = &state, .ids = part(begin, end)}};
    model_->forward(parts);
  };
  state.restart(kTokens);
  append(0, 25);
  state.restart(kTokens);
  // Others than those that were decided about show that nothing is decided anew.
  const std::vector<int32_t> others = cpu::random_ids(kTokens, spec_.vocab, seed() + 3);
  const std::vector<engine::Part> parts{{.sequence = &state, .ids = others}};
  model_->forward(parts);
  EXPECT_EQ(state.decisions(), decisions);
}

// The slot of one that starts again goes to another; those beside it notice nothing.
TEST_P(SharedPagesTest, ARestartLeavesOtherSlotsAlone) {
  const Rows expected = reference();
  const std::vector<int64_t> lengths{66, 71, 40};
  std::vector<Line> lines;
  for (const int64_t length : lengths) {
    lines.push_back(fresh(32));
    lines.back().append(part(0, length));
  }
  const auto slot_of = [](const Line& line) {
    return static_cast<const CudaSequence&>(line.sequence()->state()).slot();
  };
  engine::SequenceState& state = lines[1].sequence()->state();
  const int32_t slot = slot_of(lines[1]);
  state.restart(71);
  Line other = fresh(32);
  other.append(part(0, 50));
  EXPECT_EQ(slot_of(other), slot);
  const std::vector<engine::Part> parts{{.sequence = &state, .ids = part(0, 71)}};
  model_->forward(parts);
  EXPECT_NE(slot_of(lines[1]), slot);
  for (size_t i = 0; i < lines.size(); ++i) {
    Rows rows;
    lines[i].append(part(lengths[i], kTokens), cpu::into(rows));
    expect_same(lines[i], rows, expected, lengths[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         SharedPagesTest,
                         testing::ValuesIn(few_model_cases()),
                         kModelCaseName);

}  // namespace
}  // namespace dms::cuda
