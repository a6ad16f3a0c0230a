// The invariant of semantics.md section 1: however a sequence is cut into prefill and decode, taken
// back, forked or recomputed, its decisions and logits are those of one pass over all of it.

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <span>

#include <gtest/gtest.h>

#include "cpu/rows.h"
#include "cpu/sequence_cases.h"
#include "cpu/tiny_model.h"
#include "support/seed.h"

namespace dms::cpu {
namespace {

using testing_support::seed;

constexpr int64_t kTokens = 150;

class EveryCase : public testing::TestWithParam<Case> {
 protected:
  EveryCase()
      : tiny_(tiny_model(GetParam().shape, seed())),
        ids_(random_ids(kTokens, tiny_.vocab(), seed())) {}

  Line fresh(int64_t chunk) { return Line(tiny_, GetParam().cache, chunk); }

  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  Rows one_shot() {
    Rows rows;
    reference_.emplace(fresh(kTokens));
    reference_->append(ids_, into(rows));
    return rows;
  }

  void expect_same(const Rows& rows, const Rows& expected, int64_t first, const std::string& how) {
    expect_rows(rows, expected, first, GetParam().tolerance(), how);
  }

  void expect_same_decisions(const Line& line, const std::string& how) {
    EXPECT_EQ(line.decisions(), reference_->decisions()) << how;
  }

  CpuModel tiny_;
  std::vector<int32_t> ids_;
  std::optional<Line> reference_;
};

TEST_P(EveryCase, EveryChunkingGivesTheSameLogits) {
  const Rows expected = one_shot();
  for (const int64_t chunk : {1, 2, 7, 31, 32, 33, 64, 100}) {
    Rows rows;
    Line sequence = fresh(chunk);
    sequence.append(ids_, into(rows));
    expect_same_decisions(sequence, "chunk " + std::to_string(chunk));
    expect_same(rows, expected, 0, "chunk " + std::to_string(chunk));
  }
}

TEST_P(EveryCase, TurnsOfPrefillAndDecodeGiveTheSameLogits) {
  const Rows expected = one_shot();
  Rows rows;
  Line sequence = fresh(32);
  int64_t done = 0;
  for (const int64_t step : {50, 1, 1, 1, 40, 1, 1, 17, 1, 1, 1, 1, 34}) {
    sequence.append(part(done, done + step), into(rows));
    done += step;
  }
  ASSERT_EQ(done, kTokens);
  expect_same_decisions(sequence, "turns");
  expect_same(rows, expected, 0, "turns");
}

TEST_P(EveryCase, RollbackLeavesNoTrace) {
  const Rows expected = one_shot();
  const std::vector<int32_t> wrong = random_ids(90, tiny_.vocab(), seed() + 1);
  for (const int64_t extra : {1, 5, 32, 33, 90}) {
    Line sequence = fresh(32);
    sequence.append(part(0, 100));
    sequence.append(std::span(wrong).first(static_cast<size_t>(extra)));
    sequence.truncate(100);
    ASSERT_EQ(sequence.tokens(), 100);
    Rows rows;
    sequence.append(part(100, kTokens), into(rows));
    expect_same_decisions(sequence, "rollback of " + std::to_string(extra));
    expect_same(rows, expected, 100, "rollback of " + std::to_string(extra));
  }
}

TEST_P(EveryCase, ForksDoNotDisturbEachOther) {
  const Rows expected = one_shot();
  const std::vector<int32_t> other = random_ids(60, tiny_.vocab(), seed() + 2);
  Line sequence = fresh(32);
  sequence.append(part(0, 90));
  Line branch = sequence.fork();
  branch.append(other);
  Rows rows;
  sequence.append(part(90, kTokens), into(rows));
  expect_same_decisions(sequence, "fork");
  expect_same(rows, expected, 90, "fork's origin");
  rows.clear();
  branch.truncate(90);
  branch.append(part(90, kTokens), into(rows));
  expect_same_decisions(branch, "branch");
  expect_same(rows, expected, 90, "branch");
}

TEST_P(EveryCase, ABatchGivesEachSequenceWhatItGetsAlone) {
  const Rows expected = one_shot();
  engine::Engine engine(tiny_, {}, {.chunk_tokens = 64, .max_step_tokens = 256});
  std::vector<Line> lines;
  const std::vector<int64_t> lengths{3, 40, 97, 148};
  std::vector<Rows> rows(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    lines.push_back(fresh(64));
    lines.back().append(part(0, lengths[i]));
    const auto next = part(lengths[i], lengths[i] + 2);
    engine.submit(
        {.request = {.prompt = {next.begin(), next.end()}, .sampling = {.max_new_tokens = 0}},
         .sequence = lines.back().sequence(),
         .prompt_logits = engine::LogitRows::all,
         .on_logits = into(rows[i])});
  }
  const bool fits_one_pass = lines.front().sequence()->state().pass_limit() >= 2;
  EXPECT_EQ(engine.step(), !fits_one_pass) << "one pass serves all";
  while (engine.step()) {
  }
  for (size_t i = 0; i < lengths.size(); ++i) expect_same(rows[i], expected, lengths[i], "batch");
}

/// Logits after each of `ids`, the last `drafted` of which are guesses.
Rows decode(CpuModel& model,
            engine::Sequence& sequence,
            std::span<const int32_t> ids,
            int64_t drafted) {
  const std::vector<engine::Part> parts{{.sequence = &sequence.state(),
                                         .ids = ids,
                                         .logits = engine::LogitRows::all,
                                         .length = sequence.length(),
                                         .drafted = drafted}};
  const std::span<const float> logits = model.forward(parts);
  sequence.record(ids);
  const auto vocab = static_cast<size_t>(model.vocab());
  Rows rows;
  for (size_t row = 0; row < ids.size(); ++row) {
    const auto values = logits.subspan(row * vocab, vocab);
    rows.emplace_back(values.begin(), values.end());
  }
  return rows;
}

/// Where what a row attends is laid out by where its sequence's window begins, which a page's first
/// row says for all of it, guesses agree to rounding; everywhere else to the bit.
bool agrees_to_the_bit(const Case& c) {
  const bool has_windows = c.shape.sliding_window > 0 || c.name.starts_with("capped");
  return !has_windows && !c.cache.policy_args.contains("enable_pos_shift");
}

TEST_P(EveryCase, GuessesHaveTheBitsOfSingleTokensAndLeaveNoTrace) {
  constexpr int64_t kPrompt = 40;
  const std::vector<int32_t> wrong = random_ids(kTokens, tiny_.vocab(), seed() + 3);
  for (const DType type : {DType::f32, DType::bf16}) {
    CpuModel model = tiny_model(GetParam().shape, seed(), type);
    Line alone(model, GetParam().cache, 32);
    Line guessed(model, GetParam().cache, 32);
    alone.append(part(0, kPrompt));
    guessed.append(part(0, kPrompt));
    std::mt19937_64 random(seed());
    Rows expected;
    for (int64_t at = kPrompt; at < kTokens; ++at) {
      expected.push_back(decode(model, *alone.sequence(), part(at, at + 1), 0).front());
    }
    int64_t most = 0;
    for (int64_t at = kPrompt; at < kTokens;) {
      const auto draw = static_cast<int64_t>(random() % 20);
      const int64_t drafted = std::min(draw, guessed.sequence()->state().draft_limit());
      const int64_t right = std::min(static_cast<int64_t>(random()) & 7, drafted);
      const auto own = part(at, std::min(at + 1 + right, kTokens));
      std::vector<int32_t> ids(own.begin(), own.end());
      ids.insert(ids.end(), wrong.begin(), wrong.begin() + (1 + drafted - std::ssize(own)));
      Rows rows = decode(model, *guessed.sequence(), ids, drafted);
      rows.resize(own.size());
      most = std::max(most, drafted);
      const Rows want(expected.begin() + (at - kPrompt),
                      expected.begin() + (at - kPrompt) + std::ssize(own));
      at += std::ssize(own);
      if (agrees_to_the_bit(GetParam())) {
        ASSERT_EQ(rows, want) << "before token " << at << " of " << seed();
      } else {
        expect_rows(rows, want, 0, std::max(GetParam().tolerance(), kInt8Tolerance), "guesses");
      }
      ASSERT_TRUE(guessed.sequence()->state().can_truncate(at));
      guessed.sequence()->truncate(at);
      ASSERT_TRUE(guessed.sequence()->missing().empty());
    }
    EXPECT_EQ(guessed.decisions(), alone.decisions());
    const bool plans_always = GetParam().name.ends_with("_i1");
    EXPECT_EQ(most > 4, !plans_always) << "guesses were possible";
  }
}

TEST(DynamicRope, RollbackKeepsTheFirstPromptsFrequencies) {
  CpuModel tiny = tiny_model({.dynamic_rope_context = 40}, seed());
  const CacheOptions cache{.policy = "random", .policy_args = {{"cr", "20"}}, .window_tokens = 33};
  const std::vector<int32_t> ids = random_ids(kTokens, tiny.vocab(), seed());
  const std::vector<int32_t> wrong = random_ids(90, tiny.vocab(), seed() + 1);
  const auto part = [&](int64_t begin, int64_t end) {
    return std::span(ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  };
  constexpr int64_t kFirstPrompt = 70;
  Rows expected;
  Line reference(tiny, cache, 32);
  reference.append(part(0, kFirstPrompt), into(expected));
  reference.append(part(kFirstPrompt, kTokens), into(expected));
  for (const int64_t kept : {50, 110}) {
    for (const int64_t back : {33, 90}) {
      Line sequence(tiny, cache, 32);
      sequence.append(part(0, kFirstPrompt));
      if (kept > kFirstPrompt) sequence.append(part(kFirstPrompt, kept));
      const int64_t extra = kept + back - sequence.tokens();
      sequence.append(std::span(wrong).first(static_cast<size_t>(extra)));
      sequence.truncate(kept);
      Rows rows;
      sequence.append(part(kept, kTokens), into(rows));
      const std::string how = std::to_string(back) + " back to " + std::to_string(kept);
      expect_rows(rows, expected, kept, kTolerance, how);
    }
  }
}

void change_to_longrope(ModelSpec& spec) {
  spec.rope.scaling = RopeScaling::longrope;
  for (int64_t pair = 0; pair < spec.rope.rotary_dim / 2; ++pair) {
    spec.rope.short_factors.push_back(1.0f + 0.1f * static_cast<float>(pair));
    spec.rope.long_factors.push_back(3.0f + static_cast<float>(pair));
  }
}

class RopeByLength : public testing::TestWithParam<void (*)(ModelSpec&)> {};

TEST_P(RopeByLength, BeyondItsBorderASequenceIsThatOfTheWholeContext) {
  CpuModel tiny = tiny_model({.dynamic_rope_context = 40, .change = GetParam()}, seed());
  const CacheOptions cache{.policy = "random", .policy_args = {{"cr", "3"}}, .window_tokens = 20};
  const std::vector<int32_t> ids = random_ids(kTokens, tiny.vocab(), seed());
  const auto reference = tiny.new_sequence(tiny.plan(cache));
  const std::vector<engine::Part> whole{{.sequence = reference.get(),
                                         .ids = ids,
                                         .logits = engine::LogitRows::all,
                                         .length = tiny.context()}};
  Rows expected;
  const std::span<const float> logits = tiny.forward(whole);
  for (size_t row = 0; row < ids.size(); ++row) {
    const auto values =
        logits.subspan(row * static_cast<size_t>(tiny.vocab()), static_cast<size_t>(tiny.vocab()));
    expected.emplace_back(values.begin(), values.end());
  }
  for (const int64_t first : {10, 38, 40}) {
    Line sequence(tiny, cache, 32);
    sequence.append(std::span(ids).first(static_cast<size_t>(first)));
    Rows rows;
    sequence.append(std::span(ids).subspan(static_cast<size_t>(first)), into(rows));
    ASSERT_EQ(std::ssize(rows), kTokens - first);
    expect_rows(rows, expected, first, kTolerance, "first prompt of " + std::to_string(first));
  }
}

INSTANTIATE_TEST_SUITE_P(DynamicRope,
                         RopeByLength,
                         testing::Values([](ModelSpec&) {}, change_to_longrope),
                         [](const auto& item) {
                           return std::string(item.index == 0 ? "dynamic" : "longrope");
                         });

TEST(RoundedSurvivors, ALongRollbackReadsNoneOfThemInTheWindow) {
  CpuModel tiny = tiny_model({}, seed());
  const CacheOptions cache{.policy = "random",
                           .policy_args = {{"cr", "1"}},
                           .window_tokens = kTokens,
                           .kv_dtype = "bf16"};
  const std::vector<int32_t> ids = random_ids(kTokens, tiny.vocab(), seed());
  const std::span<const int32_t> kept = std::span(ids).first(100);
  const std::span<const int32_t> rest = std::span(ids).subspan(100);
  Rows expected;
  Line reference(tiny, cache, 32);
  reference.append(kept);
  reference.append(rest, into(expected));
  for (const int64_t extra : {100, 150, 300}) {
    Line sequence(tiny, cache, 32);
    sequence.append(kept);
    sequence.append(random_ids(extra, tiny.vocab(), seed() + 1));
    sequence.truncate(100);
    Rows rows;
    sequence.append(rest, into(rows));
    expect_rows(rows, expected, 0, kTolerance, "rollback of " + std::to_string(extra));
  }
}

INSTANTIATE_TEST_SUITE_P(Thresholds, EveryCase, testing::ValuesIn(threshold_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Invariance, EveryCase, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Structures, EveryCase, testing::ValuesIn(structure_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Adms, EveryCase, testing::ValuesIn(adms_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Intervals, EveryCase, testing::ValuesIn(interval_cases()), case_name);

}  // namespace
}  // namespace dms::cpu
