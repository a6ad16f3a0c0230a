// Two implementations of the engine's model hold each other: the CPU's pages and kernels, and plain
// loops over everything (tests/support). Under every policy they make the same decisions, give the
// same logits and count the same entries, forward, back and apart; and what the plain one promises
// by itself.

#include "support/plain_model.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "base/npy.h"
#include "cpu/sequence_cases.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms::cpu {
namespace {

using testing_support::PlainModel;
using testing_support::seed;
using Rows = std::vector<std::vector<float>>;

constexpr int64_t kTokens = 150;

/// Random weights whose norms and biases are random too.
class UnevenWeights final : public WeightSource {
 public:
  explicit UnevenWeights(const ModelSpec& spec) : random_(random_weights(spec, seed())) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    random_->read_rows(weight, first, count, out);
    if (weight.shape.size() > 1) return;
    std::mt19937_64 random(seed() + std::hash<std::string>()(weight.name));
    std::normal_distribution<float> noise(0.0f, 0.3f);
    for (float& value : out) value += noise(random);
  }

 private:
  std::unique_ptr<WeightSource> random_;
};

engine::LogitSink into(Rows& rows) {
  return
      [&rows](int64_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); };
}

/// A sequence of each model, given the same to do.
class Pair {
 public:
  Pair(const Line& ours, const Line& plain, float tolerance)
      : ours_(ours), plain_(plain), tolerance_(tolerance) {}

  void append(std::span<const int32_t> ids, const std::string& how) {
    Rows rows;
    Rows expected;
    ours_.append(ids, into(rows));
    plain_.append(ids, into(expected));
    float scale = 0;
    for (const auto& row : expected) {
      for (const float value : row) scale = std::max(scale, std::abs(value));
    }
    ASSERT_EQ(rows.size(), ids.size()) << how;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t v = 0; v < rows[i].size(); ++v) {
        ASSERT_NEAR(rows[i][v], expected[i][v], tolerance_ * scale)
            << how << ": token " << i << " of " << ids.size() << " seed " << seed();
      }
    }
    EXPECT_EQ(ours_.decisions(), plain_.decisions()) << how;
  }

  void truncate(int64_t tokens) {
    ours_.truncate(tokens);
    plain_.truncate(tokens);
  }
  Pair fork() const { return {ours_.fork(), plain_.fork(), tolerance_}; }
  const Line& ours() const { return ours_; }
  const Line& plain() const { return plain_; }

 private:
  Line ours_;
  Line plain_;
  float tolerance_;
};

class PlainModelCase : public testing::TestWithParam<Case> {
 protected:
  PlainModelCase()
      : spec_(tiny_spec(GetParam().shape)),
        cpu_(tiny_model(spec_, UnevenWeights(spec_))),
        plain_(spec_, UnevenWeights(spec_)),
        ids_(random_ids(kTokens, spec_.vocab, seed())) {}

  /// The plain model knows no storage but its own.
  Pair pair(int64_t chunk) {
    CacheOptions exact = GetParam().cache;
    exact.kv_dtype.clear();
    return {
        Line(cpu_, GetParam().cache, chunk), Line(plain_, exact, chunk), GetParam().tolerance()};
  }

  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  ModelSpec spec_;
  CpuModel cpu_;
  PlainModel plain_;
  std::vector<int32_t> ids_;
};

TEST_P(PlainModelCase, GivesTheLogitsOfPagesAndKernels) {
  for (const int64_t chunk : {1, 32, 150}) {
    Pair both = pair(chunk);
    ASSERT_NO_FATAL_FAILURE(both.append(ids_, "chunk " + std::to_string(chunk)));
    const std::vector<const engine::SequenceState*> ours{&both.ours().sequence()->state()};
    const std::vector<const engine::SequenceState*> plain{&both.plain().sequence()->state()};
    EXPECT_EQ(cpu_.usage(ours).held_per_head, plain_.usage(plain).held_per_head) << chunk;
    EXPECT_EQ(cpu_.usage(ours).dense_tokens, plain_.usage(plain).dense_tokens) << chunk;
    EXPECT_EQ(ours[0]->held_heads(), plain[0]->held_heads()) << chunk;
  }
}

TEST_P(PlainModelCase, GoesBackAndApartAsTheyDo) {
  const std::vector<int32_t> other = random_ids(90, spec_.vocab, seed() + 1);
  for (const int64_t extra : {1, 32, 90}) {
    const std::string how = "rollback of " + std::to_string(extra);
    Pair both = pair(32);
    ASSERT_NO_FATAL_FAILURE(both.append(part(0, 80), how));
    Pair branch = both.fork();
    ASSERT_NO_FATAL_FAILURE(both.append(std::span(other).first(static_cast<size_t>(extra)), how));
    both.truncate(70);
    ASSERT_NO_FATAL_FAILURE(both.append(part(70, kTokens), how));
    ASSERT_NO_FATAL_FAILURE(branch.append(part(80, kTokens), "branch"));
  }
}

TEST_P(PlainModelCase, GoesOnFromItsBytesBitForBit) {
  CacheOptions exact = GetParam().cache;
  exact.kv_dtype.clear();
  for (const int64_t at : {1, 33, 100}) {
    Line line(plain_, exact, 32);
    line.append(part(0, at));
    ByteWriter out;
    line.sequence()->write(out);
    ByteReader in(out.data(), "saved");
    Line restored(plain_, engine::Sequence::read(in, plain_, plain_.plan(exact)), 32);
    EXPECT_EQ(in.left(), 0);
    Rows expected;
    Rows rows;
    line.append(part(at, kTokens), into(expected));
    restored.append(part(at, kTokens), into(rows));
    EXPECT_EQ(rows, expected) << at;
    EXPECT_EQ(restored.decisions(), line.decisions()) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, PlainModelCase, testing::ValuesIn(cases()), case_name);

TEST(PlainModel, FollowsForcedDecisionsAsTheCpuDoes) {
  const ModelSpec spec = tiny_spec({.group = 3});
  CpuModel cpu = tiny_model(spec, UnevenWeights(spec));
  PlainModel plain(spec, UnevenWeights(spec));
  constexpr int64_t kDecided = 120;  // later tokens are kept
  NpyBytes decisions{.shape = {spec.layers, spec.kv_heads, kDecided}, .values = {}};
  std::mt19937_64 random(seed());
  for (int64_t i = 0; i < spec.layers * spec.kv_heads * kDecided; ++i) {
    decisions.values.push_back(random() % 3 == 0 ? 0 : 1);
  }
  const testing_support::TempFolder folder;
  write_npy_bytes(folder.path() / "fates.npy", decisions);
  const CacheOptions forced{
      .policy = "forced", .decisions_file = folder.path() / "fates.npy", .window_tokens = 10};
  Pair both(Line(cpu, forced, 32), Line(plain, forced, 32), kTolerance);
  both.append(random_ids(kTokens, spec.vocab, seed()), "forced");
}

TEST(PlainModel, ReplaysDecisionsAcrossTheBorderOfADynamicRope) {
  const ModelSpec spec = tiny_spec(
      {.layers = 3, .dynamic_rope_context = 40, .dms = dms_spec(DmsSource::adapter, 1, 10)});
  CpuModel cpu = tiny_model(spec, UnevenWeights(spec));
  PlainModel plain(spec, UnevenWeights(spec));
  const std::vector<int32_t> ids = random_ids(kTokens, spec.vocab, seed());
  for (const size_t first : {10u, 40u, 70u}) {
    Pair both(Line(cpu, CacheOptions{}, 32), Line(plain, CacheOptions{}, 32), kTolerance);
    ASSERT_NO_FATAL_FAILURE(both.append(std::span(ids).first(first), "first prompt"));
    ASSERT_NO_FATAL_FAILURE(both.append(std::span(ids).subspan(first), "beyond"));
  }
}

TEST(PlainModel, ARequestEndsAtItsOwnMemoryLimitAndTheOthersGoOn) {
  const ModelSpec spec = tiny_spec({});
  const int64_t token_bytes = testing_support::PlainPast::token_bytes(spec);
  PlainModel plain(spec, UnevenWeights(spec), {.memory_bytes = 100 * token_bytes});
  Line first(plain, CacheOptions{}, 32);
  first.append(random_ids(60, spec.vocab, seed()));
  {
    Line second(plain, CacheOptions{}, 32);
    EXPECT_THROW(second.append(random_ids(60, spec.vocab, seed())), RunError);
    EXPECT_EQ(second.tokens(), 40);
    EXPECT_THROW(Line(plain, CacheOptions{.preallocate_tokens = 10}, 32), RunError);
  }
  first.append(random_ids(40, spec.vocab, seed()));
  const std::vector<const engine::SequenceState*> states{&first.sequence()->state()};
  EXPECT_EQ(plain.usage(states).peak_bytes, 100 * token_bytes);
}

TEST(PlainModel, RefusesOptionsItDoesNotKnow) {
  const ModelSpec spec = tiny_spec({});
  const PlainModel plain(spec, UnevenWeights(spec));
  EXPECT_THROW(plain.plan({.policy = "dms"}), InputError) << "nothing was trained";
  EXPECT_THROW(plain.plan({.policy = "no such"}), InputError);
  EXPECT_THROW(plain.plan({.policy = "streaming", .policy_args = {{"cr", "3"}}}), InputError);
  EXPECT_THROW(plain.plan({.kv_dtype = "bf16"}), InputError);
}

}  // namespace
}  // namespace dms::cpu
