#include "base/random.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace dms {
namespace {

// The reference implementation's first outputs for seed 1234567 (Vigna's splitmix64.c).
TEST(Random, MixesAsSplitMix64) {
  uint64_t state = 1234567;
  for (const uint64_t expected : {6457827717110365317u,
                                  3203168211198807973u,
                                  9817491932198370423u,
                                  4593380528125082431u,
                                  16408922859458223821u}) {
    EXPECT_EQ(mix64(state += 0x9e3779b97f4a7c15u), expected);
  }
}

TEST(Random, StreamsDifferByPurposeIndexAndSeed) {
  std::set<uint64_t> firsts;
  for (const uint64_t seed : {0u, 1u, 2u}) {
    for (const char* purpose : {"a", "b"}) {
      for (int64_t index = 0; index < 50; ++index) {
        firsts.insert(Random(seed, purpose, index).next());
      }
    }
  }
  EXPECT_EQ(firsts.size(), 300u);
  EXPECT_EQ(Random(7, "x", 3).next(), Random(7, "x", 3).next());
}

TEST(Random, BelowIsUniform) {
  Random random(1, "uniform");
  std::array<int64_t, 7> counts{};
  constexpr int64_t kDraws = 70'000;
  for (int64_t i = 0; i < kDraws; ++i) ++counts.at(static_cast<size_t>(random.below(7)));
  // Six standard deviations of a binomial count: sqrt(70000 * 1/7 * 6/7) = 93.
  for (const int64_t count : counts) EXPECT_NEAR(static_cast<double>(count), 10'000, 560);
}

TEST(Random, RangesHoldBothEnds) {
  Random random(2, "ends");
  std::set<int64_t> drawn;
  for (int i = 0; i < 500; ++i) drawn.insert(random.between(-2, 3));
  EXPECT_EQ(drawn, (std::set<int64_t>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(random.between(5, 5), 5);
  EXPECT_EQ(random.log_between(9, 9), 9);
}

TEST(Random, LogUniformGivesEveryOctaveItsShare) {
  Random random(3, "log");
  std::array<int64_t, 4> octaves{};  // 64..127, 128..255, 256..511, 512..1023
  constexpr int64_t kDraws = 40'000;
  for (int64_t i = 0; i < kDraws; ++i) {
    const int64_t value = random.log_between(64, 1023);
    ASSERT_GE(value, 64);
    ASSERT_LE(value, 1023);
    const auto octave = std::bit_width(static_cast<uint64_t>(value)) - 7;
    ++octaves.at(static_cast<size_t>(octave));
  }
  for (const int64_t count : octaves) EXPECT_NEAR(static_cast<double>(count), 10'000, 600);
}

TEST(Random, ChanceIsItsProbability) {
  Random random(4, "chance");
  int64_t hits = 0;
  for (int i = 0; i < 20'000; ++i) hits += random.chance(0.25) ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(hits), 5000, 370);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(random.chance(0.0));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(random.chance(1.0));
}

TEST(Random, ShuffleIsAPermutationAndNeverChanges) {
  std::vector<int> items(10);
  std::iota(items.begin(), items.end(), 0);
  Random random(42, "order");
  shuffle(std::span(items), random);
  std::vector<int> sorted = items;
  std::ranges::sort(sorted);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sorted[static_cast<size_t>(i)], i);
  // Pinned: caches and resumed runs depend on it. By the definition in Python.
  EXPECT_EQ(items, (std::vector<int>{6, 2, 1, 5, 3, 7, 0, 4, 8, 9}));
}

}  // namespace
}  // namespace dms
