#include "text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/all_matches.h"

namespace dms::text {
namespace {

using testing_support::all_matches;

std::vector<std::string> found(std::string_view pattern, std::string_view text) {
  std::vector<std::string> pieces;
  for (const Match& match : all_matches(Regex(pattern, "test"), text)) {
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
  EXPECT_THROW(all_matches(regex, std::string(64, 'a')), InputError);
}

TEST(Regex, RunsLongTextsWithoutRunningOutOfStack) {
  const std::string text(500'000, ' ');
  EXPECT_EQ(all_matches(Regex(R"(\s+(?!\S)|\s+)", "here"), text).size(), 1u);
  EXPECT_EQ(all_matches(Regex(R"((?: |x)+)", "here"), text).size(), 1u);
}

// A pattern that takes a little too long at every place of a long text: no match is expensive.
TEST(Regex, StopsAPatternThatAddsUpToTooMuch) {
  const Regex regex("(?:a|aa){1,24}[bc]|a", "here");
  const std::string text(1'000'000, 'a');
  RegexWork work(text.size());
  size_t matches = 0;
  EXPECT_THROW(regex.find_each(text,
                               work,
                               [&](const Match&) {
                                 ++matches;
                                 return true;
                               }),
               InputError);
  EXPECT_LT(matches, 500'000u);
}

// Scans to the end of the text from every place of it: cheap steps, but too many.
TEST(Regex, StopsAPatternThatLooksTooFarFromEveryPlace) {
  const std::string text(2'000'000, 'a');
  for (const char* pattern : {"a*[bc]", "(?=a*b)a|x", "a+a+[bc]", "(?:a+)+[bc]"}) {
    EXPECT_THROW(all_matches(Regex(pattern, "here"), text), InputError) << pattern;
  }
}

TEST(Regex, CountsTheWorkOfAllTextsThatShareIt) {
  const Regex regex("(?:a|aa)+[bc]|a", "here");
  const std::string text(24, 'a');
  RegexWork work(text.size());
  const auto find_all = [&] { regex.find_each(text, work, [](const Match&) { return true; }); };
  find_all();
  EXPECT_THROW(for (int i = 0; i < 100'000; ++i) find_all(), InputError);
}

// Windows, levels and counting must not change what is found.
TEST(Regex, FindsTheSameNearAndFar) {
  for (const size_t size : {10u, 63u, 64u, 65u, 255u, 256u, 300u, 1024u, 5000u, 100'000u}) {
    const std::string word(size, 'x');
    EXPECT_THAT(found("x+", word + " y " + word), ElementsAre(word, word)) << size;
    EXPECT_THAT(found("x+(?= y)|y", word + " y"), ElementsAre(word, "y")) << size;
    EXPECT_THAT(found(" *\n| +(?!\\S)| +", std::string(size, ' ') + "a"),
                ElementsAre(std::string(size - 1, ' '), " "))
        << size;
    EXPECT_THAT(found("\u00e9y", word + "\u00e9y" + word), ElementsAre("\u00e9y")) << size;
    EXPECT_THAT(found("^y$", word + "\ny\n" + word), ElementsAre("y")) << size;
    EXPECT_THAT(found("(?<=x)y", word + "yy"), ElementsAre("y")) << size;
    EXPECT_THAT(found("(?:x|xx)+y", word + "y"), ElementsAre(word + "y")) << size;
    EXPECT_THAT(found("z*(?!x)", word), ElementsAre("")) << size;
  }
}

}  // namespace
}  // namespace dms::text
