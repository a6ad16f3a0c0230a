// What FunctionGemma's arguments are held to, as parts of a structural tag.

#include "serve/gemma_arguments.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "serve/facts.h"
#include "serve/pattern_characters.h"

namespace dms::serve {
namespace {

using testing_support::refusal;

Tool tool(std::string_view value, bool is_strict = true, std::string_view definitions = "{}") {
  return {.name = "f",
          .parameters = {{"type", "object"},
                         {"properties", {{"x", OrderedJson::parse(value)}}},
                         {"required", {"x"}},
                         {"$defs", OrderedJson::parse(definitions)}},
          .is_strict = is_strict};
}

/// The part of the only argument, with what is before and behind it.
std::string written(std::string_view value,
                    bool is_strict = true,
                    std::string_view definitions = "{}") {
  const OutJson format = gemma_arguments(tool(value, is_strict, definitions), true);
  return json_text(format["elements"]);
}

constexpr std::string_view kQuote = R"({"type":"const_string","value":"<escape>"})";

bool has(const std::string& format, std::string_view part) {
  return format.find(part) != std::string::npos;
}

TEST(GemmaArguments, TextsHaveTheirLengths) {
  const std::string both = written(R"({"type": "string", "minLength": 2, "maxLength": 5})");
  EXPECT_TRUE(has(both, R"({"type":"regex","pattern":"[^<]{2,5}"})")) << both;
  EXPECT_TRUE(has(written(R"({"minLength": 3})"), R"("[^<]{3,}")"));
  EXPECT_TRUE(has(written(R"({"type": "string", "maxLength": 0})"),
                  std::string(kQuote) + R"(,{"type":"const_string","value":""},)"));
  EXPECT_TRUE(has(written(R"({"type": "string"})"), R"("any_text")"));
}

TEST(GemmaArguments, TextsHaveTheirPatternsAndFormats) {
  const std::string pattern = written(R"({"type": "string", "pattern": "[a-z]{2}-\\d+"})");
  EXPECT_TRUE(has(pattern, R"("json_schema":{"type":"string","pattern":"[a-z]{2}-\\d+"})"));
  EXPECT_TRUE(has(pattern, R"("style":"qwen_xml")"));
  EXPECT_TRUE(has(written(R"({"type": "string", "format": "date"})"), R"("format":"date")"));
  EXPECT_TRUE(has(written(R"({"type": "string", "format": "email"})"), R"("pattern":"[A-Za-z)"));
}

TEST(GemmaArguments, ReferencesAndListsOfFixedLengthAreHeld) {
  const std::string_view definitions =
      R"({"day": {"type": "object", "properties": {"n": {"$ref": "#/$defs/count"}},
                  "required": ["n"]},
          "count": {"type": "integer", "minimum": 1},
          "self": {"$ref": "#/$defs/self"},
          "tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}})";
  const std::string day = written(R"({"$ref": "#/$defs/day"})", true, definitions);
  EXPECT_TRUE(has(day, R"("value":"n:")")) << day;
  EXPECT_TRUE(has(day, R"("minimum":1)"));
  EXPECT_TRUE(has(written(R"({"allOf": [{"$ref": "#/$defs/count"}]})", true, definitions),
                  R"("minimum":1)"));
  const std::string pair =
      written(R"({"type": "array", "prefixItems": [{"type": "integer"}, {"const": "a"}]})");
  EXPECT_TRUE(has(pair, R"("value":",")")) << pair;
  EXPECT_TRUE(has(pair, R"("value":"<escape>a<escape>")"));
  const std::string map =
      written(R"({"type": "object", "additionalProperties": {"type": "integer", "maximum": 7}})");
  EXPECT_TRUE(has(map, R"("maximum":7)")) << map;
  for (const std::string_view bad : {R"({"$ref": "#/$defs/none"})",
                                     R"({"$ref": "#/$defs/self"})",
                                     R"({"$ref": "#/$defs/tree"})"}) {
    EXPECT_EQ(refusal([&] { written(bad, true, definitions); }).status(), 400) << bad;
  }
}

/// Three levels were all that there were.
TEST(GemmaArguments, ObjectsMayBeDeep) {
  std::string deep = R"({"type": "integer", "maximum": 7})";
  for (int i = 0; i < 4; ++i) {
    deep = R"({"type": "object", "required": ["a"], "properties": {"a": )" + deep + "}}";
  }
  EXPECT_TRUE(has(written(deep), R"("maximum":7)"));
  for (int i = 0; i < 20; ++i) deep = R"({"type": "array", "items": )" + deep + "}";
  EXPECT_EQ(refusal([&] { written(deep); }).status(), 400);
  EXPECT_FALSE(has(written(deep, false), R"("maximum":7)"));
}

/// A part that many references name is many parts.
TEST(GemmaArguments, WhatReferencesComeToIsBounded) {
  std::string definitions = "{";
  for (int level = 0; level < 4; ++level) {
    const std::string next = std::to_string(level + 1);
    std::string properties;
    for (int i = 0; i < 12; ++i) {
      if (i > 0) properties += ",";
      properties.append("\"p").append(std::to_string(i)).append(R"(": {"$ref": "#/$defs/d)");
      properties.append(next).append("\"}");
    }
    definitions.append("\"d").append(std::to_string(level));
    definitions.append(R"(": {"type": "object", "properties": {)").append(properties).append("}},");
  }
  definitions += R"("d4": {"type": "integer"}})";
  for (const bool is_strict : {true, false}) {
    const ApiError error =
        refusal([&] { written(R"({"$ref": "#/$defs/d0"})", is_strict, definitions); });
    EXPECT_NE(std::string(error.what()).find("too many p"), std::string::npos) << error.what();
  }
}

/// A quote within would end the text.
TEST(GemmaArguments, WhatMayHoldAQuoteIsNotHeld) {
  for (const std::string_view text : {R"({"type": "string", "pattern": ".*"})",
                                      R"({"type": "string", "format": "json-pointer"})",
                                      R"({"type": "string", "maxLength": 100000})",
                                      R"({"type": "array", "uniqueItems": true})"}) {
    EXPECT_EQ(refusal([&] { written(text); }).status(), 400) << text;
    EXPECT_NO_THROW(written(text, false)) << text;
  }
}

TEST(PatternCharacters, AreWhatTheLettersSay) {
  for (const std::string_view pattern : {"",
                                         "abc",
                                         "[a-z]+",
                                         R"(\d{4}-\w*)",
                                         "(a|b)?",
                                         R"([\w\s,;])",
                                         R"(\.\-)",
                                         "[A-Z0-9_-]",
                                         "[]a]"}) {
    EXPECT_FALSE(may_hold(pattern, '<')) << pattern;
  }
  for (const std::string_view pattern : {".",
                                         "a<b",
                                         R"(\<)",
                                         R"([\<])",
                                         "[^a]",
                                         R"(\S)",
                                         R"(\x3c)",
                                         "[!-~]",
                                         R"([\w-~])",
                                         "[a<]",
                                         "[a",
                                         R"(\)",
                                         "[0-Z]",
                                         "[+-=]",
                                         R"(\u003c)",
                                         "[]<]"}) {
    EXPECT_TRUE(may_hold(pattern, '<')) << pattern;
  }
}

}  // namespace
}  // namespace dms::serve
