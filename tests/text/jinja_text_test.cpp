#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

using testing::ElementsAre;

std::vector<std::string_view> all_characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (const std::string_view character : characters(text)) all.push_back(character);
  return all;
}

std::vector<std::string_view> all_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  while (!text.empty()) lines.push_back(take_line(text, keep_ends));
  return lines;
}

TEST(JinjaText, CountsCodePointsAndSurvivesBrokenBytes) {
  EXPECT_EQ(count_characters("aé\u3042\U0001F600"), 4);
  EXPECT_EQ(count_characters("\xff\xc3"), 2);
  EXPECT_THAT(all_characters("a\xc3\xa9\xe3"), ElementsAre("a", "\xc3\xa9", "\xe3"));
}

TEST(JinjaText, StripsUnicodeWhiteSpaceAndGivenCharacters) {
  EXPECT_EQ(strip_left("\u00a0\n x "), "x ");
  EXPECT_EQ(strip_right(" x\u3000\t\u2003"), " x");
  const CharacterSet set("é.");
  EXPECT_EQ(strip_right("xè.é", &set), "xè");
  EXPECT_EQ(strip_right("x\xe9.é", &set), "x\xe9");
  const CharacterSet broken("\xe9");
  EXPECT_EQ(strip_right("xé\xe9", &broken), "xé");
}

TEST(JinjaText, MapsCase) {
  EXPECT_EQ(to_upper("straße éàÿ привет αβς ž"), "STRASSE ÉÀŸ ПРИВЕТ ΑΒΣ Ž");
  EXPECT_EQ(to_lower("ÀÉ ПРИВЁТ ΆΈ Ž日本"), "àé привёт άέ ž日本");
  EXPECT_EQ(capitalize("éCOLE Là"), "École là");
}

TEST(JinjaText, SplitsLinesAsPythonDoes) {
  EXPECT_THAT(all_lines("a\r\nb\rc\n\nd", false), ElementsAre("a", "b", "c", "", "d"));
  EXPECT_THAT(all_lines("a\u2028b\x85\n", true), ElementsAre("a\u2028", "b\x85\n"));
}

TEST(JinjaText, FindsFirstAndLast) {
  EXPECT_EQ(find_text("abcabc", "bc"), 1u);
  EXPECT_EQ(find_text("abcabc", "bc", 2), 4u);
  EXPECT_EQ(find_text("abc", "", 3), 3u);
  EXPECT_EQ(find_text("abc", "", 4), std::string_view::npos);
  EXPECT_EQ(find_text("ab", "abc"), std::string_view::npos);
  EXPECT_EQ(find_last_text("abcabc", "bc"), 4u);
  EXPECT_EQ(find_last_text("aaa", "aa"), 1u);
  EXPECT_EQ(find_last_text("abc", ""), 3u);
  EXPECT_EQ(find_last_text("abc", "x"), std::string_view::npos);
}

TEST(JinjaText, FindsWhereCharactersBegin) {
  EXPECT_EQ(character_offset("aéb", 0), 0u);
  EXPECT_EQ(character_offset("aéb", 2), 3u);
  EXPECT_EQ(character_offset("aéb", 9), 4u);
}

TEST(JinjaText, QuotesAsPythonsRepr) {
  EXPECT_EQ(quote("it's"), "\"it's\"");
  EXPECT_EQ(quote("it's \"x\""), "'it\\'s \"x\"'");
  EXPECT_EQ(quote("a\n\t\\\x01é\u200b\u00a0"), "'a\\n\\t\\\\\\x01é\\u200b\\xa0'");
}

TEST(JinjaText, WritesFloatsAsPython) {
  EXPECT_EQ(float_text(1), "1.0");
  EXPECT_EQ(float_text(0.1), "0.1");
  EXPECT_EQ(float_text(-2.5), "-2.5");
  EXPECT_EQ(float_text(1e16), "1e+16");
  EXPECT_EQ(float_text(123456789012345.0), "123456789012345.0");
  EXPECT_EQ(float_text(0.0001), "0.0001");
  EXPECT_EQ(float_text(0.00001), "1e-05");
  EXPECT_EQ(float_text(NAN), "nan");
  EXPECT_EQ(float_text(-INFINITY), "-inf");
}

}  // namespace
}  // namespace dms::text::jinja
