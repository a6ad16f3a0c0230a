#include "grammar/mask.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::grammar {
namespace {

TEST(Mask, ExcludesWhatHasNoBit) {
  std::mt19937_64 random(testing_support::seed());
  for (const int64_t vocab : {1, 31, 32, 33, 64, 100, 1000}) {
    Mask mask{.words = std::vector<int32_t>(static_cast<size_t>(Mask::word_count(vocab)))};
    std::vector<bool> may_come;
    for (int64_t i = 0; i < vocab; ++i) {
      // Words of ones, of zeros, and mixed ones.
      may_come.push_back(i / 32 % 3 == 0 || (i / 32 % 3 == 1 && random() % 2 == 0));
      if (may_come.back()) mask.words[static_cast<size_t>(i / 32)] |= 1 << i % 32;
    }
    std::vector<float> logits(static_cast<size_t>(vocab), 2.0F);
    EXPECT_TRUE(mask.apply({}, logits));
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_EQ(logits[i] == 2.0F, may_come[i]) << i << " of " << vocab;
      EXPECT_EQ(std::isinf(logits[i]), !may_come[i]);
    }
  }
}

TEST(Mask, EndTokensComeWhereItMayEnd) {
  const std::vector<int32_t> ends{3, 40};
  for (const bool may_end : {false, true}) {
    const Mask mask{.words = {0, 0}, .may_end = may_end};
    std::vector<float> logits(50, 1.0F);
    EXPECT_EQ(mask.apply(ends, logits), may_end);
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_EQ(logits[i] == 1.0F, may_end && (i == 3 || i == 40)) << i;
    }
    EXPECT_FALSE(mask.apply({}, logits));
  }
}

TEST(Mask, EndTokensWithATextComeNowhereElse) {
  const std::vector<int32_t> ends{3};
  const auto allowed = [&](uint32_t word, bool may_end) {
    const Mask mask{.words = {static_cast<int32_t>(word)}, .may_end = may_end};
    std::vector<float> logits(32, 1.0F);
    const bool is_any = mask.apply(ends, logits);
    EXPECT_EQ(is_any, std::ranges::count(logits, 1.0F) > 0);
    return logits[3] == 1.0F;
  };
  for (const uint32_t word : {0xFFFFFFFFU, 1U << 3, 1U << 3 | 1U, 1U}) {
    EXPECT_FALSE(allowed(word, false)) << word;
    EXPECT_TRUE(allowed(word, true)) << word;
  }
}

}  // namespace
}  // namespace dms::grammar
