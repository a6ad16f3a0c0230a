#include "base/utf8.h"

#include <gtest/gtest.h>

namespace dms {
namespace {

struct ReplacedCase {
  const char* name;
  std::string bytes;
  std::string text;
};

class Utf8Replaced : public testing::TestWithParam<ReplacedCase> {};

// Expected values are what Python's bytes.decode("utf-8", "replace") gives.
TEST_P(Utf8Replaced, LikePython) {
  EXPECT_EQ(to_well_formed(GetParam().bytes), GetParam().text);
  EXPECT_EQ(is_well_formed(GetParam().bytes), GetParam().bytes == GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    Utf8Replaced,
    testing::Values(
        ReplacedCase{"Ascii", "plain", "plain"},
        ReplacedCase{"AllLengths", "a\u00e9\u20ac\U0001F600", "a\u00e9\u20ac\U0001F600"},
        ReplacedCase{"LoneContinuation", "a\x80z", "a\ufffdz"},
        ReplacedCase{"CutAtEnd", "a\xF0\x9F\x98", "a\ufffd"},
        ReplacedCase{"CutInside", "\xE2\x82z", "\ufffdz"},
        ReplacedCase{"Overlong", "\xC0\xAF", "\ufffd\ufffd"},
        ReplacedCase{"OverlongThree", "\xE0\x80\xAF", "\ufffd\ufffd\ufffd"},
        ReplacedCase{"Surrogate", "\xED\xA0\x80", "\ufffd\ufffd\ufffd"},
        ReplacedCase{"TooLarge", "\xF4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
        ReplacedCase{"NeverAByte", "\xFF\xFE", "\ufffd\ufffd"},
        ReplacedCase{"LongAsciiThenBroken", "0123456789abcdef\xC3", "0123456789abcdef\ufffd"}),
    [](const auto& case_info) { return std::string(case_info.param.name); });

TEST(Utf8, EveryCodePointSurvivesBothWays) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text = "x";
    append_utf8(text, c);
    ASSERT_EQ(code_point_at(text, 1).value, c);
    ASSERT_EQ(code_point_before(text, text.size()).value, c);
    ASSERT_TRUE(code_point_at(text, 1).well_formed) << c;
  }
}

}  // namespace
}  // namespace dms
