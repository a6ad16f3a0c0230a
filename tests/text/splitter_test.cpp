#include "text/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/unicode_tables.h"

namespace dms::text {
namespace {

using testing::ElementsAre;

std::vector<std::string_view> pieces_of(const Pattern& pattern,
                                        SplitBehavior behavior,
                                        bool invert,
                                        std::string_view text,
                                        size_t most = SIZE_MAX) {
  std::vector<std::string_view> pieces;
  RegexWork work(text.size());
  split(pattern, behavior, invert, text, work, [&](std::string_view piece) {
    pieces.push_back(piece);
    return pieces.size() < most;
  });
  return pieces;
}

std::vector<std::string_view> pieces_of(SplitBehavior behavior, bool invert) {
  return pieces_of(LiteralPattern{"-"}, behavior, invert, "-the-final--count-");
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
  EXPECT_THAT(pieces_of(Regex("", "test"), SplitBehavior::isolated, false, "a\u00e9b"),
              ElementsAre("a", "\u00e9", "b"));
}

TEST(Splitter, StopsWhenItsPiecesAreNotWanted) {
  for (const SplitBehavior behavior :
       {SplitBehavior::removed, SplitBehavior::isolated, SplitBehavior::contiguous}) {
    EXPECT_EQ(pieces_of(LiteralPattern{"-"}, behavior, false, "a-b-c-d", 2).size(), 2u);
    EXPECT_EQ(pieces_of(Regex("-", "test"), behavior, false, "a-b-c-d", 2).size(), 2u);
  }
  EXPECT_EQ(pieces_of(KnownPattern::gpt2, SplitBehavior::isolated, false, "a b c d", 2).size(), 2u);
}

TEST(Splitter, FindsCharactersByFlag) {
  const GrowthLimit limit("test", 8);
  RegexWork work(8);
  EXPECT_EQ(replace_matches(FlagPattern{kNumeric}, "a1\u00b2\u0663b", "#", limit, work), "a###b");
  EXPECT_EQ(replace_matches(FlagPattern{kPunctuation}, "a.$\u3002b", "#", limit, work), "a###b");
}

}  // namespace
}  // namespace dms::text
