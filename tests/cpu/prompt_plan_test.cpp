// Policies that plan when a prompt ends: what stays depends on where prompts end and on nothing
// else, and a sequence that is taken back or computed again has what it had.

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

constexpr int64_t kFirst = 90;   // the first prompt
constexpr int64_t kDecoded = 6;  // tokens decoded after each
constexpr int64_t kSecond = 50;  // the second
constexpr int64_t kTokens = kFirst + kSecond + 2 * kDecoded;

class PromptPlan : public testing::TestWithParam<Case> {
 protected:
  PromptPlan()
      : tiny_(tiny_model(GetParam().shape, seed())),
        ids_(random_ids(kTokens, tiny_.vocab(), seed())) {}

  Line fresh(int64_t chunk) { return Line(tiny_, GetParam().cache, chunk); }

  /// Tokens [tokens(), end): prompts whole, what is decoded one by one.
  void go_on(Line& line, int64_t end, Rows& rows) const {
    while (line.tokens() < end) {
      const int64_t at = line.tokens();
      int64_t next = at + 1;
      if (at < kFirst) next = kFirst;
      if (at == kFirst + kDecoded) next = at + kSecond;
      line.append(std::span(ids_).subspan(static_cast<size_t>(at), static_cast<size_t>(next - at)),
                  into(rows));
    }
  }

  CpuModel tiny_;
  std::vector<int32_t> ids_;
};

TEST_P(PromptPlan, EveryChunkingKeepsTheSame) {
  Rows expected;
  Line reference = fresh(kTokens);
  go_on(reference, kTokens, expected);
  const std::vector<uint8_t> decisions = reference.decisions();
  EXPECT_GT(std::accumulate(decisions.begin(), decisions.end(), 0), 0) << "nothing is evicted";
  for (const int64_t chunk : {1, 7, 32, 33, 64}) {
    Rows rows;
    Line line = fresh(chunk);
    go_on(line, kTokens, rows);
    EXPECT_EQ(line.decisions(), decisions) << "chunk " << chunk;
    expect_rows(rows, expected, 0, GetParam().tolerance(), "chunk " + std::to_string(chunk));
  }
}

TEST_P(PromptPlan, RollbackLeavesNoTrace) {
  Rows expected;
  Line reference = fresh(32);
  go_on(reference, kTokens, expected);
  for (const int64_t back_to : {kFirst, kFirst + 3, kFirst + kDecoded}) {
    Line line = fresh(32);
    Rows rows;
    go_on(line, kFirst + kDecoded, rows);
    line.append(random_ids(70, tiny_.vocab(), seed() + 1));
    line.truncate(back_to);
    rows.clear();
    go_on(line, kTokens, rows);
    EXPECT_EQ(line.decisions(), reference.decisions()) << back_to;
    expect_rows(
        rows, expected, back_to, GetParam().tolerance(), "back to " + std::to_string(back_to));
  }
}

TEST_P(PromptPlan, RollbackWithinAnAnswerLeavesNoTrace) {
  Rows expected;
  Line reference = fresh(32);
  go_on(reference, kTokens, expected);
  Line line = fresh(32);
  Rows rows;
  go_on(line, kFirst + kDecoded, rows);
  for (const int32_t id : random_ids(25, tiny_.vocab(), seed() + 1)) {
    line.append(std::vector<int32_t>{id});
  }
  line.truncate(kFirst + kDecoded);
  rows.clear();
  go_on(line, kTokens, rows);
  EXPECT_EQ(line.decisions(), reference.decisions());
  expect_rows(rows, expected, kFirst + kDecoded, GetParam().tolerance(), "within an answer");
}

TEST_P(PromptPlan, ForksDoNotDisturbEachOther) {
  Rows expected;
  Line reference = fresh(32);
  go_on(reference, kTokens, expected);
  Line line = fresh(32);
  Rows rows;
  go_on(line, kFirst + kDecoded, rows);
  Line branch = line.fork();
  branch.append(random_ids(60, tiny_.vocab(), seed() + 2));
  rows.clear();
  go_on(line, kTokens, rows);
  EXPECT_EQ(line.decisions(), reference.decisions());
  expect_rows(rows, expected, kFirst + kDecoded, GetParam().tolerance(), "the fork's origin");
}

TEST_P(PromptPlan, GivesTheMemoryBack) {
  Line line = fresh(64);
  Rows rows;
  go_on(line, kFirst + kDecoded, rows);  // some rank what an answer brings
  const std::vector<const engine::SequenceState*> states{&line.sequence()->state()};
  const KvStats stats = tiny_.usage(states);
  const std::vector<uint8_t> decisions = line.decisions();
  const int64_t evicted = std::accumulate(decisions.begin(), decisions.end(), int64_t{0});
  EXPECT_LT(stats.held_tokens, stats.dense_tokens);
  if (GetParam().shape.sliding_window == 0) {
    // A query sees itself whatever its fate.
    const int64_t heads = stats.dense_tokens / (kFirst + kDecoded);
    EXPECT_LE(stats.held_tokens - (stats.dense_tokens - evicted), heads);
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, PromptPlan, testing::ValuesIn(prompt_cases()), case_name);

}  // namespace
}  // namespace dms::cpu
