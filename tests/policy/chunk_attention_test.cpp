// What compactor remembers of a sequence, and what it lets go of.

#include "policy/chunk_attention.h"

#include <random>

#include <gtest/gtest.h>

#include "policy/policy.h"
#include "support/seed.h"

namespace dms::policy {
namespace {

constexpr int64_t kKvHeads = 2;
constexpr int64_t kGroup = 2;
constexpr int64_t kHeadDim = 4;
constexpr int64_t kChunk = 16;
constexpr int64_t kSkipped = 3;
constexpr int64_t kSpare = 2;

/// Falls with distance in steps, so that it depends on where a chunk begins.
float stepped(int64_t q_head, int64_t position, int64_t origin) {
  return static_cast<float>((position / 3 - origin / 3) * (q_head + 1)) / 8;
}

/// Random queries and keys, by position.
class Tokens {
 public:
  explicit Tokens(int64_t count) : rows_(static_cast<size_t>(count)) {
    std::mt19937_64 random(testing_support::seed());
    std::normal_distribution<float> draw;
    for (std::vector<float>& row : rows_) {
      row.resize(static_cast<size_t>((kGroup + 1) * kKvHeads * kHeadDim));
      for (float& x : row) x = draw(random);
    }
  }

  cache::SeenTokens seen(int64_t begin, int64_t end) const {
    constexpr auto kQueries = static_cast<size_t>(kGroup * kKvHeads * kHeadDim);
    cache::SeenTokens seen{.layer = 0, .rope_length = 0, .first = begin, .queries = {}, .keys = {}};
    for (int64_t i = begin; i < end; ++i) {
      const std::span<const float> row = rows_[static_cast<size_t>(i)];
      seen.queries.push_back(row.first(kQueries));
      seen.keys.push_back(row.subspan(kQueries));
    }
    return seen;
  }

 private:
  std::vector<std::vector<float>> rows_;
};

TEST(ChunkAttention, WhatIsForgottenChangesNothingThatFollows) {
  const Tokens tokens(200);
  for (const bool is_alibi : {false, true}) {
    const ChunkAttention::Shape shape{.kv_heads = kKvHeads,
                                      .group = kGroup,
                                      .head_dim = kHeadDim,
                                      .chunk_size = kChunk,
                                      .skipped = kSkipped,
                                      .spare = kSpare,
                                      .position_bias = is_alibi ? stepped : PositionBias{}};
    for (const int64_t prompt : {1, 4, 20, 21, 22, 100}) {
      ChunkAttention whole(shape);
      ChunkAttention forgetful(shape);
      for (ChunkAttention* state : {&whole, &forgetful}) state->add(tokens.seen(0, prompt));
      const int64_t before = forgetful.bytes();
      forgetful.forget_finished();
      EXPECT_LE(forgetful.bytes(), before);
      if (prompt == 100) {
        // Five chunks are finished; at most one and the spare tokens wait.
        constexpr int64_t kRow = (kGroup + 1) * kKvHeads * kHeadDim;
        EXPECT_LT(forgetful.bytes(), (kChunk + kSpare) * kRow * int64_t{sizeof(float)});
        EXPECT_LE(forgetful.bytes() + 5 * kChunk * kKvHeads * int64_t{sizeof(float)}, before);
      }
      for (int64_t end : {prompt + 1, prompt + 30, int64_t{200}}) {
        const int64_t begin = end == prompt + 1 ? prompt : end == 200 ? prompt + 30 : prompt + 1;
        for (ChunkAttention* state : {&whole, &forgetful}) state->add(tokens.seen(begin, end));
        const int64_t first = forgetful.first_sum(end);
        EXPECT_LE(first, std::max(prompt, kSkipped));
        EXPECT_EQ(whole.first_sum(end), std::min(end, kSkipped));
        for (int64_t head = 0; head < kKvHeads; ++head) {
          const std::vector<float> all = whole.sums(head, end);
          const std::vector<float> rest = forgetful.sums(head, end);
          const auto left_out = first - whole.first_sum(end);
          ASSERT_EQ(std::ssize(rest), std::ssize(all) - left_out) << prompt << " " << end;
          EXPECT_TRUE(std::equal(rest.begin(), rest.end(), all.begin() + left_out));
        }
      }
    }
  }
}

int64_t bytes_after_a_cut(std::map<std::string, std::string> args, int64_t& before) {
  args["chunk_size"] = std::to_string(kChunk);
  const PolicyPtr policy = make_policy("compactor",
                                       {.layers = 1,
                                        .kv_heads = kKvHeads,
                                        .args = std::move(args),
                                        .window = std::nullopt,
                                        .decisions_file = {},
                                        .trained = std::nullopt,
                                        .q_heads = kGroup * kKvHeads,
                                        .head_dim = kHeadDim});
  const auto state = policy->new_state();
  policy->see(Tokens(200).seen(0, 200), *state);
  before = state->bytes();
  policy->observe({.tokens = 200, .prompt_begin = 0, .heads = {}}, *state);
  return state->bytes();
}

/// Under a size a later cut ranks all that is held.
TEST(Compactor, GivesBackWhatNoLaterCutAsksFor) {
  int64_t before = 0;
  EXPECT_LT(bytes_after_a_cut({{"compression_ratio", "0.5"}}, before), before);
  EXPECT_EQ(bytes_after_a_cut({{"budget", "50"}}, before), before);
}

}  // namespace
}  // namespace dms::policy
