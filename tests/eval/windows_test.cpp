#include "eval/windows.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace dms::eval {
namespace {

TEST(ScoreWindows, OneHoldsWhatFits) {
  const auto windows = score_windows(10, 10, 5);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].begin, 0);
  EXPECT_EQ(windows[0].end, 10);
  EXPECT_EQ(windows[0].first_scored, 1);
}

TEST(ScoreWindows, EachTokenIsScoredOnceWithEnoughContext) {
  for (const int64_t window : {2, 3, 7, 8}) {
    for (int64_t stride = 1; stride < window; ++stride) {
      for (int64_t tokens = 2; tokens < 40; ++tokens) {
        SCOPED_TRACE(testing::Message() << tokens << " in " << window << " by " << stride);
        int64_t next = 1;
        for (const ScoreWindow& part : score_windows(tokens, window, stride)) {
          EXPECT_EQ(part.first_scored, next);
          EXPECT_LE(part.end - part.begin, window);
          EXPECT_LT(part.first_scored, part.end) << "a window without purpose";
          const int64_t context = part.first_scored - part.begin;
          EXPECT_GE(context, part.begin > 0 ? window - stride : 1);
          next = part.end;
        }
        EXPECT_EQ(next, tokens);
      }
    }
  }
}

TEST(ScoreWindows, BeginToScoreWhereTheyAreTold) {
  const auto windows = score_windows(20, 8, 3, 5);
  ASSERT_EQ(windows.size(), 5u);
  EXPECT_EQ(windows[0].first_scored, 5);
  EXPECT_EQ(windows[1].begin, 3);
  EXPECT_EQ(windows[1].first_scored, 8);
  EXPECT_EQ(windows[4].end, 20);
  EXPECT_THROW(score_windows(20, 8, 3, 8), std::logic_error);
}

TEST(ScoreWindows, ThatDoNotOverlapAreABug) {
  EXPECT_THROW(score_windows(10, 4, 4), std::logic_error);
  EXPECT_THROW(score_windows(10, 4, 0), std::logic_error);
}

}  // namespace
}  // namespace dms::eval
