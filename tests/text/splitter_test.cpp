#include "text/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/unicode_tables.h"

namespace dms::text {
namespace {

using testing::ElementsAre;

std::vector<std::string_view> pieces_of(SplitBehavior behavior, bool invert) {
  std::vector<std::string_view> pieces;
  split(LiteralPattern{"-"}, behavior, invert, "-the-final--count-", pieces);
  return pieces;
}

// Expected pieces are those of tokenizers' Split.
TEST(Splitter, ArrangesMatchesAsTokenizersDoes) {
  EXPECT_THAT(pieces_of(SplitBehavior::removed, false), ElementsAre("the", "final", "count"));
  EXPECT_THAT(pieces_of(SplitBehavior::isolated, false),
              ElementsAre("-", "the", "-", "final", "-", "-", "count", "-"));
  EXPECT_THAT(pieces_of(SplitBehavior::merged_with_previous, false),
              ElementsAre("-", "the-", "final-", "-", "count-"));
  EXPECT_THAT(pieces_of(SplitBehavior::merged_with_next, false),
              ElementsAre("-the", "-final", "-", "-count", "-"));
  EXPECT_THAT(pieces_of(SplitBehavior::contiguous, false),
              ElementsAre("-", "the", "-", "final", "--", "count", "-"));
}

TEST(Splitter, InvertSwapsMatchesAndGaps) {
  EXPECT_THAT(pieces_of(SplitBehavior::removed, true), ElementsAre("-", "-", "-", "-", "-"));
  EXPECT_THAT(pieces_of(SplitBehavior::merged_with_previous, true),
              ElementsAre("-the", "-final", "-", "-count", "-"));
  EXPECT_THAT(pieces_of(SplitBehavior::merged_with_next, true),
              ElementsAre("-", "the-", "final-", "-", "count-"));
}

TEST(Splitter, AnEmptyPatternSplitsBetweenAllCharacters) {
  std::vector<std::string_view> pieces;
  split(Regex("", "test"), SplitBehavior::isolated, false, "a\u00e9b", pieces);
  EXPECT_THAT(pieces, ElementsAre("a", "\u00e9", "b"));
}

TEST(Splitter, FindsCharactersByFlag) {
  const GrowthLimit limit("test", 8);
  EXPECT_EQ(replace_matches(FlagPattern{kNumeric}, "a1\u00b2\u0663b", "#", limit), "a###b");
  EXPECT_EQ(replace_matches(FlagPattern{kPunctuation}, "a.$\u3002b", "#", limit), "a###b");
}

}  // namespace
}  // namespace dms::text
