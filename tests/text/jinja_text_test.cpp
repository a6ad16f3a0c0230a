#include "text/jinja_text.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::text::jinja {
namespace {

using testing::ElementsAre;

TEST(JinjaText, CountsCodePointsAndSurvivesBrokenBytes) {
  EXPECT_EQ(count_characters("aé\u3042\U0001F600"), 4);
  EXPECT_EQ(count_characters("\xff\xc3"), 2);
  EXPECT_THAT(characters("a\xc3\xa9\xe3"), ElementsAre("a", "\xc3\xa9", "\xe3"));
}

TEST(JinjaText, StripsUnicodeWhiteSpaceAndGivenCharacters) {
  EXPECT_EQ(strip_left("\u00a0\n x "), "x ");
  EXPECT_EQ(strip_right(" x\u3000\t\u2003"), " x");
  const std::string_view set = "é.";
  EXPECT_EQ(strip_right("xè.é", &set), "xè");
}

TEST(JinjaText, MapsCase) {
  EXPECT_EQ(to_upper("straße éàÿ привет αβς ž"), "STRASSE ÉÀŸ ПРИВЕТ ΑΒΣ Ž");
  EXPECT_EQ(to_lower("ÀÉ ПРИВЁТ ΆΈ Ž日本"), "àé привёт άέ ž日本");
  EXPECT_EQ(capitalize("éCOLE Là"), "École là");
}

TEST(JinjaText, SplitsLinesAsPythonDoes) {
  EXPECT_THAT(split_lines("a\r\nb\rc\n\nd"), ElementsAre("a", "b", "c", "", "d"));
  EXPECT_THAT(split_lines("a\u2028b\x85\n", true), ElementsAre("a\u2028", "b\x85\n"));
  EXPECT_TRUE(split_lines("").empty());
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
