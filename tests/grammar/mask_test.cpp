#include "grammar/mask.h"

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

}  // namespace
}  // namespace dms::grammar
