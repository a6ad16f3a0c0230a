#include "base/token_ids.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

std::string error(const std::string& text) {
  return input_error([&] { parse_ids(text, "ids.json"); });
}

TEST(TokenIds, AreAnArrayOrAnObjectsArray) {
  const std::vector<int32_t> ids{0, 7, 2147483647};
  EXPECT_EQ(parse_ids("[0, 7, 2147483647]", "x"), ids);
  EXPECT_EQ(parse_ids(R"({"ids": [0, 7, 2147483647]})", "x"), ids);
  EXPECT_EQ(parse_ids(R"({"text": "a", "tokens": [["b"], {"ids": [5]}, 1.5, null],
                         "ids": [0, 7, 2147483647], "count": -3})",
                      "x"),
            ids);
  EXPECT_TRUE(parse_ids("[]", "x").empty());
  EXPECT_TRUE(parse_ids(R"({"ids": []})", "x").empty());
}

TEST(TokenIds, WhatIsNoIdIsNamedByItsPlace) {
  for (const auto& [item, got] : std::vector<std::pair<std::string, std::string>>{
           {"-1", "-1"},
           {"2147483648", "2147483648"},
           {"18446744073709551615", "18446744073709551615"},
           {"99999999999999999999", "99999999999999999999"},
           {"1.0", "1.0"},
           {"1e2", "1e2"},
           {"NaN", "NaN"},
           {"true", "true"},
           {"null", "null"},
           {"\"7\"", "\"7\""},
           {"[7]", "an array"},
           {"{\"a\": 7}", "an object"}}) {
    for (const std::string& text : {"[0, 1, " + item + ", 3]", "{\"ids\": [0, 1, " + item + "]}"}) {
      expect_parts(error(text),
                   {"ids.json: element 2", "got " + got, "an integer, 0 to 2147483647"});
    }
  }
}

TEST(TokenIds, OtherTextsAreRefused) {
  for (const char* text : {"7", "\"[1]\"", "null", "true", "1.5", "-1"}) {
    expect_parts(error(text), {"ids.json: bad value", "a JSON array of integers"});
  }
  expect_parts(error(R"({"id": [1]})"), {"ids.json: holds no ids"});
  expect_parts(error(R"({"a": {"ids": [1]}})"), {"ids.json: holds no ids"});
  expect_parts(error(R"({"ids": 7})"), {"ids.json: ids", "got 7", "an array of integers"});
  expect_parts(error(R"({"ids": {"ids": [1]}})"), {"ids.json: ids", "got an object"});
  expect_parts(error(R"({"ids": [1], "ids": [2]})"), {"ids.json: ids", "occurs twice"});
  expect_parts(error("[1, 2"), {"ids.json", "malformed JSON", "column 6"});
  expect_parts(error("[1] 2"), {"ids.json", "malformed JSON"});
}

TEST(TokenIds, NestingEndsTheReadingWhereItIsTooDeep) {
  expect_parts(error(std::string(10'000'000, '[')), {"ids.json: element 0", "got an array"});
  const std::string deep = R"({"a": )" + std::string(10'000'000, '[');
  expect_parts(error(deep), {"ids.json", "nested too deeply", "column 70"});
}

TEST(TokenIds, ManyAreReadInOnePass) {
  std::string text = "[";
  for (int i = 0; i < 1'000'000; ++i) text.append(std::to_string(i % 50'000)).append(",");
  text.back() = ']';
  const std::vector<int32_t> ids = parse_ids(text, "x");
  ASSERT_EQ(ids.size(), 1'000'000u);
  EXPECT_EQ(ids.back(), 999'999 % 50'000);
}

}  // namespace
}  // namespace dms
