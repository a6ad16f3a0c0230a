#include "cli/parse.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(ParseBytes, KnowsDecimalAndBinaryUnitsInAnyCase) {
  EXPECT_EQ(parse_bytes("--x", "1048576"), 1048576);
  EXPECT_EQ(parse_bytes("--x", "512MiB"), int64_t{512} << 20);
  EXPECT_EQ(parse_bytes("--x", "2GB"), 2'000'000'000);
  EXPECT_EQ(parse_bytes("--x", "1.5g"), int64_t{3} << 29);
  EXPECT_EQ(parse_bytes("--x", "3 kb"), 3000);
  EXPECT_EQ(parse_bytes("--x", "1TIB"), int64_t{1} << 40);
  EXPECT_EQ(parse_bytes("--x", "1"), 1);
}

TEST(ParseBytes, RefusesWhatIsNotASize) {
  for (const char* text : {"",
                           "MiB",
                           "0",
                           "0.5",
                           "0GB",
                           "-1",
                           "5XB",
                           "nan",
                           "inf",
                           "1e30",
                           "99999999999GiB",
                           "1 2",
                           "0x10"}) {
    EXPECT_THROW(parse_bytes("--x", text), InputError) << text;
  }
}

TEST(ParseInteger, HoldsToItsBounds) {
  EXPECT_EQ(parse_integer("--x", "-3", -3, 3), -3);
  EXPECT_EQ(parse_integer("--x", "9223372036854775807", 0, kMax), kMax);
  for (const char* text : {"", "4", "-4", "1.5", "many", "1 ", " 1", "+1", "9223372036854775808"}) {
    EXPECT_THROW(parse_integer("--x", text, -3, 3), InputError) << text;
  }
}

TEST(ParseInteger, SaysPlaceValueAndBounds) {
  try {
    parse_integer("--chunk", "0", 1, 9);
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "--chunk: bad value (got '0', expected an integer, 1 to 9)");
  }
}

TEST(ParseSeed, TakesAll64Bits) {
  EXPECT_EQ(parse_seed("--x", "0"), 0u);
  EXPECT_EQ(parse_seed("--x", "18446744073709551615"), std::numeric_limits<uint64_t>::max());
  for (const char* text : {"", "-1", "18446744073709551616", "1.5", "0x10"}) {
    EXPECT_THROW(parse_seed("--x", text), InputError) << text;
  }
}

TEST(ParsePositiveNumber, SaysMoreThanZero) {
  EXPECT_DOUBLE_EQ(parse_positive_number("--x", "1e-300"), 1e-300);
  for (const char* text : {"0", "-1", "nan", "inf", "", "1e999"}) {
    try {
      parse_positive_number("--x", text);
      FAIL() << text;
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("expected a number, more than 0")) << text;
    }
  }
}

TEST(ParseNumber, RefusesNanAndInfinity) {
  EXPECT_DOUBLE_EQ(parse_number("--x", "0.25", 0, 1), 0.25);
  EXPECT_DOUBLE_EQ(parse_number("--x", "1e-3", 0, 1), 1e-3);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const char* text : {"nan", "inf", "-inf", "", "1,5", "1e999"}) {
    EXPECT_THROW(parse_number("--x", text, -infinity, infinity), InputError) << text;
  }
}

TEST(ParseList, RefusesEmptyParts) {
  EXPECT_THAT(parse_list("--x", "a,b"), ElementsAre("a", "b"));
  EXPECT_THAT(parse_integer_list("--x", "512,4096", 1, 9999), ElementsAre(512, 4096));
  for (const char* text : {"", ",", "1,", ",1", "1,,2"}) {
    EXPECT_THROW(parse_list("--x", text), InputError) << text;
  }
}

TEST(ParseCommand, DividesAtBlanksOutsideQuotes) {
  EXPECT_THAT(parse_command("--x", "  python3 -m\tjieba "), ElementsAre("python3", "-m", "jieba"));
  EXPECT_THAT(parse_command("--x", "a -d ' ' \"it's\" b'c d'e"),
              ElementsAre("a", "-d", " ", "it's", "bc de"));
  EXPECT_THAT(parse_command("--x", "a '' $HOME \\n | x"),
              ElementsAre("a", "", "$HOME", "\\n", "|", "x"));
  for (const char* text : {"", " ", "''", "a 'b", "a \""}) {
    EXPECT_THROW(parse_command("--x", text), InputError) << text;
  }
}

TEST(ParseKeyValues, TakesEachKeyOnce) {
  EXPECT_THAT(parse_key_values("--x", "cr=8,seed=a=b"),
              ElementsAre(Pair("cr", "8"), Pair("seed", "a=b")));
  for (const char* text : {"cr", "=8", "cr=8,cr=9", ""}) {
    EXPECT_THROW(parse_key_values("--x", text), InputError) << text;
  }
}

}  // namespace
}  // namespace dms::cli
