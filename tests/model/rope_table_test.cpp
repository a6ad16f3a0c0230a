// The angles of sequences that come and go, above all under `dynamic`, where each length of a first
// prompt has frequencies of its own.

#include "model/rope_table.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "model/spec/rope_frequencies.h"

namespace dms::model {
namespace {

constexpr int64_t kBorder = 64;

RopeSpec dynamic_rope() {
  RopeSpec rope;
  rope.rotary_dim = 8;
  rope.scaling = RopeScaling::dynamic;
  rope.factor = 2.0;
  rope.original_context = kBorder;
  return rope;
}

std::vector<float> expected_cosines(int64_t prompt_tokens, int64_t position) {
  std::vector<float> values;
  for (const float frequency : inverse_frequencies(dynamic_rope(), prompt_tokens)) {
    values.push_back(std::cos(static_cast<float>(position) * frequency));
  }
  return values;
}

std::vector<float> cosines(const RopeTable& table, int64_t prompt_tokens, int64_t position) {
  const auto cos = table.at(prompt_tokens, position).cos;
  return {cos.begin(), cos.end()};
}

TEST(RopeTable, ManyLengthsOneAfterTheOtherLeaveFewTables) {
  RopeTable table(dynamic_rope());
  for (int64_t prompt = kBorder; prompt < kBorder + 100; ++prompt) {
    table.prepare(std::vector<RopeTable::Need>{{prompt, prompt + 1}});
    EXPECT_LE(table.tables(), 4);
    EXPECT_EQ(cosines(table, prompt, prompt), expected_cosines(prompt, prompt));
  }
}

TEST(RopeTable, EverySequenceOfAPassHasItsOwn) {
  RopeTable table(dynamic_rope());
  std::vector<RopeTable::Need> needs;
  for (int64_t prompt = kBorder + 1; prompt <= kBorder + 20; ++prompt) {
    needs.push_back({prompt, prompt});
  }
  table.prepare(needs);
  for (const RopeTable::Need& need : needs) {
    EXPECT_EQ(cosines(table, need.prompt_tokens, 3), expected_cosines(need.prompt_tokens, 3));
  }
  table.prepare(std::vector<RopeTable::Need>{needs.front()});
  EXPECT_LE(table.tables(), 4);
  EXPECT_EQ(cosines(table, kBorder + 1, 3), expected_cosines(kBorder + 1, 3));
}

TEST(RopeTable, LengthsWithinTheBorderShareOne) {
  RopeTable table(dynamic_rope());
  for (const int64_t prompt : {int64_t{1}, int64_t{7}, kBorder}) {
    table.prepare(std::vector<RopeTable::Need>{{prompt, 10}});
  }
  EXPECT_EQ(table.tables(), 1);
}

TEST(RopeTable, ASequenceThatIsComputedAnewTakesTheFrequenciesOfItsNewLength) {
  RopeTable table(dynamic_rope());
  table.prepare(std::vector<RopeTable::Need>{{5, kBorder}});
  const std::vector<float> before = cosines(table, 5, 40);
  table.prepare(std::vector<RopeTable::Need>{{kBorder + 1, kBorder + 1}});
  EXPECT_EQ(cosines(table, kBorder + 1, 40), expected_cosines(kBorder + 1, 40));
  EXPECT_NE(cosines(table, kBorder + 1, 40), before);
}

TEST(RopeTable, WithoutDynamicEveryLengthSharesOne) {
  RopeSpec plain;
  plain.rotary_dim = 8;
  RopeTable table(plain);
  for (int64_t prompt = 1; prompt < 50; ++prompt) {
    table.prepare(std::vector<RopeTable::Need>{{prompt, 2 * prompt}});
  }
  EXPECT_EQ(table.tables(), 1);
}

}  // namespace
}  // namespace dms::model
