#include "text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

std::vector<std::string> found(std::string_view pattern, std::string_view text) {
  std::vector<std::string> pieces;
  for (const Match& match : Regex(pattern, "test").find_all(text)) {
    pieces.emplace_back(text.substr(match.start, match.end - match.start));
  }
  return pieces;
}

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Regex, KnowsCategoriesInsideAndOutsideBrackets) {
  EXPECT_THAT(found(R"(\p{Lu}+)", "abCD\u00c9f"), ElementsAre("CD\u00c9"));
  EXPECT_THAT(found(R"([\p{Ll}\d_]+)", "A_b1-c"), ElementsAre("_b1", "c"));
  EXPECT_THAT(found(R"([^\s\P{L}]+)", "ab 1c"), ElementsAre("ab", "c"));
  EXPECT_THAT(found(R"(\p{^L})", "a1"), ElementsAre("1"));
  EXPECT_THAT(found(R"([a-c\-\]x]+)", "ab-]d"), ElementsAre("ab-]"));
}

// A letter of Unicode 16 (Garay) is none yet for the PCRE2 of older systems.
TEST(Regex, UsesOurUnicodeAndNotPcre2s) {
  EXPECT_THAT(found(R"(\p{L}+)", "a\U00010D4Ab"), ElementsAre("a\U00010D4Ab"));
}

TEST(Regex, TakesLongSForSWhereCaseIsIgnored) {
  EXPECT_THAT(found("(?i:'s)", "'S '\u017f 's"), ElementsAre("'S", "'\u017f", "'s"));
}

TEST(Regex, LeavesOutEmptyMatchesAfterAMatch) {
  EXPECT_THAT(found("x*", "axxb"), ElementsAre("", "xx", ""));
}

TEST(Regex, ReadsLineAnchorsAsOniguruma) { EXPECT_THAT(found("^b$", "a\nb\nc"), ElementsAre("b")); }

class RegexRejects : public testing::TestWithParam<const char*> {};

TEST_P(RegexRejects, NamesTheConstruct) {
  try {
    Regex(GetParam(), "here");
    FAIL() << GetParam();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("here"));
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         RegexRejects,
                         testing::Values(R"(\p{Han})",
                                         R"(\p{L)",
                                         R"(\h)",
                                         R"((a)\1)",
                                         "[a&&b]",
                                         "[[:alpha:]]",
                                         "[a",
                                         "(?<name>a)",
                                         "(a",
                                         "a{,2}",
                                         "a{2}+",
                                         "[z-a]",
                                         R"(\x{110000})",
                                         "(*FAIL)",
                                         "\\",
                                         "(?R)"),
                         [](const auto& case_info) {
                           return "Pattern" + std::to_string(case_info.index);
                         });

TEST(Regex, RejectsAPatternTooLongToBeOne) {
  EXPECT_THROW(Regex(std::string(5000, 'a'), "here"), InputError);
}

TEST(Regex, StopsAtACatastrophicPattern) {
  const Regex regex("(?:a|aa)+[bc]", "here");
  EXPECT_THROW(regex.find_all(std::string(64, 'a')), InputError);
}

TEST(Regex, RunsLongTextsWithoutRunningOutOfStack) {
  const std::string text(500'000, ' ');
  EXPECT_EQ(Regex(R"(\s+(?!\S)|\s+)", "here").find_all(text).size(), 1u);
  EXPECT_EQ(Regex(R"((?: |x)+)", "here").find_all(text).size(), 1u);
}

}  // namespace
}  // namespace dms::text
