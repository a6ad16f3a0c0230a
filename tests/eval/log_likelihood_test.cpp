#include "eval/log_likelihood.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace dms::eval {
namespace {

TEST(NegativeLogLikelihood, IsTheLogOfTheVocabularyForEqualLogits) {
  const std::vector<float> logits(1000, 3.5f);
  EXPECT_NEAR(negative_log_likelihood(logits, 7), std::log(1000.0), 1e-12);
}

TEST(NegativeLogLikelihood, SurvivesLogitsWhoseExponentialsOverflow) {
  const std::vector<float> logits{1000.0f, 998.0f, -1e30f};
  EXPECT_NEAR(negative_log_likelihood(logits, 1), 2.0 + std::log1p(std::exp(-2.0)), 1e-12);
}

}  // namespace
}  // namespace dms::eval
