#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/errors.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

std::string error(const std::string& text, const JsonLimits& limits = {}) {
  return input_error([&] { parse_json(text, "c.json", limits); });
}

TEST(JsonParse, GivesWhatTheLibraryGives) {
  for (const char* text : {R"({"a": [1, -2, 2.5e3, "xä\n", null, true, {}], "b": {"c": [[]]}})",
                           "7",
                           "\"text\"",
                           "[]",
                           "[18446744073709551615, -9223372036854775808, 1e-300]"}) {
    EXPECT_EQ(parse_json(text, "x"), Json::parse(text)) << text;
    EXPECT_EQ(parse_ordered_json(text, "x"), OrderedJson::parse(text)) << text;
  }
}

TEST(JsonParse, TheLastOfEqualKeysWins) {
  const std::string text = R"({"b": 1, "a": 2, "b": [3]})";
  EXPECT_EQ(parse_json(text, "x").dump(), R"({"a":2,"b":[3]})");
  EXPECT_EQ(parse_ordered_json(text, "x").dump(), R"({"b":[3],"a":2})");
  expect_parts(error(text, {.unique_keys = true}), {"c.json: key b", "occurs twice"});
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": {"a": 2}}])", "x", {.unique_keys = true}));
}

TEST(JsonParse, ErrorsNameLineAndColumnAndNoCodes) {
  struct Case {
    const char* text;
    std::vector<std::string> parts;
  };
  for (const auto& [text, parts] : std::vector<Case>{
           {"{\n  \"a\": x\n}",
            {"c.json: line 2, column 8", "malformed JSON: invalid literal (got '  \"a\": x')"}},
           {"[1, 2", {"line 1, column 6", "unexpected end of input"}},
           {"", {"line 1, column 1", "unexpected end of input"}},
           {"{\"a\" 1}", {"column 6", "unexpected number literal; expected ':'"}},
           {"[1] []", {"column 5", "unexpected '['"}},
           {"[\"ab\ncd\"]", {"line 1, column 5", "invalid string"}},
           {"[\"\xff\"]", {"ill-formed UTF-8"}},
           {"[1e999]", {"number overflow"}}}) {
    const std::string message = error(text);
    for (const std::string& part : parts) expect_parts(message, {part});
    EXPECT_EQ(message.find("json.exception"), std::string::npos) << message;
    EXPECT_EQ(message.find("parse error"), std::string::npos) << message;
  }
  EXPECT_LT(error("[\"" + std::string(100'000, 'x')).size(), 200u);
  EXPECT_LT(error("[1e" + std::string(100'000, '9') + "]").size(), 300u);
}

TEST(JsonParse, PythonsNumbersThatAreNoneLoad) {
  const Json root = parse_json(
      R"({"a": Infinity, "b": [-Infinity, NaN, 1.5], "c": "NaN, Infinity \" NaN", "d": 0.0,
          "e":NaN})",
      "x");
  EXPECT_EQ(root["a"].get<double>(), HUGE_VAL);
  EXPECT_EQ(root["b"][0].get<double>(), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(root["b"][1].get<double>()));
  EXPECT_EQ(root["b"][2].get<double>(), 1.5);
  EXPECT_EQ(root["c"], "NaN, Infinity \" NaN");
  EXPECT_EQ(root["d"].get<double>(), 0.0);
  EXPECT_TRUE(std::isnan(root["e"].get<double>()));
  EXPECT_TRUE(std::isnan(parse_ordered_json("NaN", "x").get<double>()));
  for (const char* bad : {"[NaN1]",
                          "[1NaN]",
                          "[nan]",
                          "[-NaN]",
                          "[--Infinity]",
                          "[Infinity0]",
                          "[+Infinity]",
                          "{NaN: 1}",
                          "[Inf]",
                          "[NaN NaN]"}) {
    expect_parts(error(bad), {"c.json", "malformed JSON"});
  }
}

TEST(JsonParse, SuchNumbersAreWrittenAsTheyWereRead) {
  const std::string text = R"({
  "a": [
    Infinity,
    -Infinity
  ],
  "b": NaN,
  "c": "NaN ä"
}
)";
  EXPECT_EQ(json_file_text(parse_json(text, "x")), text);
}

TEST(JsonParse, WhereSuchANumberIsReadItIsNamed) {
  const Json root = parse_json(R"({"n": Infinity, "m": NaN, "k": -Infinity})", "c");
  const JsonFields fields(root, "c");
  expect_parts(input_error([&] { fields.number("n", 0, 9); }), {"c: n", "got Infinity", "0 to 9"});
  expect_parts(input_error([&] { fields.number("m", 0, 9); }), {"c: m", "got NaN"});
  expect_parts(input_error([&] { fields.number("k", 0, 9); }), {"got -Infinity"});
  expect_parts(input_error([&] { fields.integer("n", 0, 9); }), {"got Infinity", "an integer"});
}

TEST(JsonParse, LimitsHoldBeforeATreeExists) {
  expect_parts(error(std::string(64, '[') + "[7]"),
               {"column 65", "nested too deeply", "64 levels"});
  expect_parts(error(std::string(50'000'000, '[')), {"column 65", "nested too deeply"});
  expect_parts(error("[[1], 2, {\"a\": 3}]", {.values = 5}), {"column 17", "too many values", "5"});
  EXPECT_NO_THROW(parse_json("[[1], 2, {\"a\": 3}]", "x", {.values = 6}));
  EXPECT_NO_THROW(parse_json("[{}]", "x", {.depth = 2}));
  expect_parts(error("[{\"a\": []}]", {.depth = 2}), {"nested too deeply", "2 levels"});
}

// A parser that looks through its siblings for each value would take hours here.
TEST(JsonParse, ManySiblingsAreReadInOnePass) {
  constexpr int kCount = 500'000;
  std::string object = "{";
  std::string array = "[";
  for (int i = 0; i < kCount; ++i) {
    object.append("\"").append(std::to_string(i)).append("\":[],");
    array += "{},";
  }
  object.back() = '}';
  array.back() = ']';
  EXPECT_EQ(parse_json(object, "x").size(), static_cast<size_t>(kCount));
  EXPECT_EQ(parse_ordered_json(object, "x").size(), static_cast<size_t>(kCount));
  EXPECT_EQ(parse_json(array, "x").size(), static_cast<size_t>(kCount));
}

}  // namespace
}  // namespace dms
