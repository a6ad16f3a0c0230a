#include "base/json.h"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

std::string nested(int levels) {
  return std::string(static_cast<size_t>(levels), '[') +
         std::string(static_cast<size_t>(levels), ']');
}

TEST(Json, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(nested(64), "x.json"));
  expect_parts(input_error([] { parse_json(nested(66), "x.json"); }), {"x.json", "64 levels"});
  expect_parts(input_error([] { parse_json(nested(1'000'000), "x.json"); }), {"x.json"});
}

TEST(Json, EveryTruncationIsRefused) {
  const std::string text = R"({"a": [1, -2.5e3, "x\u00e4"], "b": {"c": null, "d": true}})";
  EXPECT_NO_THROW(parse_json(text, "x.json"));
  for (size_t length = 0; length < text.size(); ++length) {
    expect_parts(input_error([&] { parse_json(text.substr(0, length), "x.json"); }),
                 {"x.json", "malformed JSON"});
  }
}

TEST(Json, FileLargerThanTheLimitIsRefused) {
  const testing_support::TempFolder folder;
  const auto file = folder.write("x.json", "[1, 2, 3]");
  EXPECT_EQ(read_json_file(file, 9).size(), 3u);
  expect_parts(input_error([&] { read_json_file(file, 8); }), {"x.json", "9 bytes", "at most 8"});
}

struct BadInteger {
  const char* json;
  const char* got;
};

class JsonInteger : public ::testing::TestWithParam<BadInteger> {};

TEST_P(JsonInteger, OutOfRangeOrOfAnotherTypeIsRefused) {
  const Json root = parse_json(std::string(R"({"n": )") + GetParam().json + "}", "c.json");
  const JsonFields fields(root, "c.json");
  expect_parts(input_error([&] { fields.integer("n", 1, 100); }),
               {"c.json: n", std::string("got ") + GetParam().got, "an integer, 1 to 100"});
}

INSTANTIATE_TEST_SUITE_P(Values,
                         JsonInteger,
                         ::testing::Values(BadInteger{"0", "0"},
                                           BadInteger{"101", "101"},
                                           BadInteger{"-1", "-1"},
                                           BadInteger{"1.0", "1.0"},
                                           BadInteger{"1e2", "100.0"},
                                           BadInteger{"true", "true"},
                                           BadInteger{"\"7\"", "\"7\""},
                                           BadInteger{"[7]", "[7]"},
                                           BadInteger{"{}", "{}"},
                                           BadInteger{"9223372036854775808", "9223372036854775808"},
                                           BadInteger{"18446744073709551615",
                                                      "18446744073709551615"}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

TEST(JsonFieldsTest, AbsentAndNullTakeTheFallback) {
  const Json root = parse_json(R"({"null": null, "n": 5, "x": 2.5, "b": true, "s": "t"})", "c");
  const JsonFields fields(root, "c");
  for (const char* key : {"null", "absent"}) {
    EXPECT_FALSE(fields.has(key));
    EXPECT_EQ(fields.integer_or(key, 3, 0, 9), 3);
    EXPECT_EQ(fields.number_or(key, 0.5, 0, 9), 0.5);
    EXPECT_TRUE(fields.boolean_or(key, true));
    EXPECT_EQ(fields.string_or(key, "d"), "d");
    expect_parts(input_error([&] { fields.integer(key, 0, 9); }), {"missing", key});
    expect_parts(input_error([&] { fields.number(key, 0, 9); }), {"missing", key});
    expect_parts(input_error([&] { fields.string(key); }), {"missing", key});
  }
  EXPECT_TRUE(fields.is_null("null"));
  EXPECT_FALSE(fields.is_null("absent"));
  EXPECT_EQ(fields.integer_or("n", 3, 0, 9), 5);
  EXPECT_EQ(fields.number_or("n", 3, 0, 9), 5.0);
  EXPECT_EQ(fields.number("x", 2.5, 2.5), 2.5);
  EXPECT_TRUE(fields.boolean_or("b", false));
  EXPECT_EQ(fields.string("s"), "t");
}

TEST(JsonFieldsTest, OtherTypesAreRefused) {
  const Json root = parse_json(R"({"n": 1, "s": "t", "big": 1e300})", "c");
  const JsonFields fields(root, "c");
  expect_parts(input_error([&] { fields.boolean_or("n", true); }), {"c: n", "true or false"});
  expect_parts(input_error([&] { fields.string("n"); }), {"c: n", "a string"});
  expect_parts(input_error([&] { fields.number("s", 0, 1); }), {"c: s", "a number"});
  expect_parts(input_error([&] { fields.number("big", 0, 1); }), {"c: big", "1e+300"});
  expect_parts(input_error([&] { JsonFields(root["n"], "c"); }), {"c", "got 1", "a JSON object"});
}

TEST(JsonFieldsTest, LongValuesAreShortenedInErrors) {
  const Json root = {{"n", std::string(10000, 'x')}};
  const std::string text = input_error([&] { JsonFields(root, "c").integer("n", 0, 1); });
  EXPECT_LT(text.size(), 200u);
}

TEST(JsonArray, HoldsIntegersInRangeOnly) {
  EXPECT_EQ(integer_array(Json::parse("[0, 7]"), 7, "a"), (std::vector<int32_t>{0, 7}));
  for (const char* bad : {"[0, 8]", "[0, -1]", "[0, 1.0]", "[0, true]", "[0, null]", "[0, [0]]"}) {
    expect_parts(input_error([&] { integer_array(Json::parse(bad), 7, "a"); }), {"a: element 1"});
  }
  expect_parts(input_error([] { integer_array(Json::parse("{}"), 7, "a"); }), {"a", "array"});
}

}  // namespace
}  // namespace dms
