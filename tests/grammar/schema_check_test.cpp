// Schemas: what is said that they leave open, and what is refused because no answer is held to it.

#include "grammar/schema_check.h"

#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/errors.h"

namespace dms::grammar {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

Structure schema(const std::string& text) {
  return {.kind = Structure::Kind::json_schema, .text = text, .field = "F"};
}

std::string checked(const std::string& text) { return checked_schema(schema(text), {}); }

TEST(SchemaCheck, NamesTheKeywordThatIsNotHeldTo) {
  const std::vector<std::tuple<const char*, const char*>> cases{
      {R"({"not": {"type": "string"}})", "/not"},
      {R"({"type": "array", "items": true, "uniqueItems": true})", "/uniqueItems"},
      {R"({"type": "array", "contains": {"type": "null"}})", "/contains"},
      {R"({"if": true, "then": {"type": "null"}})", "/if"},
      {R"({"type": "object", "dependentRequired": {"a": ["b"]}})", "/dependentRequired"},
      {R"({"type": "object", "dependentSchemas": {"a": true}})", "/dependentSchemas"},
      {R"({"type": "number", "multipleOf": 0.5})", "/multipleOf"},
      {R"({"properties": {"a": {"items": {"not": {}}}}})", "/properties/a/items/not"},
      {R"({"$ref": "#/$defs/A", "$defs": {"A": {"not": {}}}})", "/$defs/A/not"},
      {R"({"$ref": "#/$defs/A", "type": "object", "$defs": {"A": {}}})", "/type"},
      {R"({"anyOf": [{"type": "null"}], "properties": {}})", "/properties"},
      {R"({"allOf": [{"type": "null"}, {}]})", "/allOf"},
      {R"({"items": {"oneOf": [{"type": "integer"}, {"type": "number"}]}})", "/items/oneOf"},
      {R"({"enum": ["a"], "pattern": "a"})", "/pattern"},
      {R"({"type": "string", "pattern": "a+b+", "maxLength": 3})", "/minLength, maxLength"},
      {R"({"type": "string", "pattern": "a", "format": "date"})", "/format"},
      {R"({"type": "string", "format": "idn-email"})", "/format"},
      {R"({"type": "string", "format": "email", "maxLength": 90})", "/minLength, maxLength"},
      {R"({"type": "string", "format": "uri", "maxLength": 1554})", "/minLength, maxLength"},
      {R"({"patternProperties": {"a": {}, "b": {}}})", "/patternProperties"},
      {R"({"patternProperties": {"a": {}}, "properties": {"b": {}}})", "/patternProperties"},
      {R"({"propertyNames": {"pattern": "a"}, "required": ["a"]})", "/propertyNames"},
      {R"({"propertyNames": {"not": {}}})", "/propertyNames/not"},
      {R"({"propertyNames": {"format": "no-such", "minLength": 2}})", "/propertyNames/format"},
      {R"({"properties": {"a": {}}, "required": ["b"]})", "/required"},
      {R"({"type": "object", "minProperties": 2})", "/minProperties"},
      {R"({"properties": {"\u00fc": {"type": "null"}}, "additionalProperties": true})",
       "/additionalProperties"},
  };
  for (const auto& [text, path] : cases) {
    expect_parts(input_error([&] { checked(text); }), {"F: ", std::string(path) + ": an answer"});
    Structure lenient = schema(text);
    lenient.refuses_unenforced = false;
    EXPECT_NO_THROW(checked_schema(lenient, {})) << text;
  }
}

TEST(SchemaCheck, TagsSayOfEachSchemaWhetherItIsStrict) {
  const auto tag = [](const std::string& strict) {
    const std::string format = R"({"type": "json_schema", "strict": )" + strict +
                               R"(, "json_schema": {"type": "number", "multipleOf": 0.5}})";
    return Structure{.kind = Structure::Kind::structural_tag,
                     .text = R"({"type": "structural_tag", "format": )" + format + "}",
                     .field = "F"};
  };
  expect_parts(input_error([&] { checked_tag(tag("true"), {}); }), {"F", "multipleOf"});
  EXPECT_TRUE(refuses_all_unenforced(tag("true"), {}));
  EXPECT_EQ(Json::parse(checked_tag(tag("false"), {}))["format"],
            Json::parse(R"({"type": "json_schema",
                            "json_schema": {"type": "number", "multipleOf": 0.5}})"));
  EXPECT_FALSE(refuses_all_unenforced(tag("false"), {}));
}

TEST(SchemaCheck, MayLeaveAsideWhatIsNotHeldTo) {
  const std::vector<std::tuple<const char*, const char*>> cases{
      {R"({"type": "string", "pattern": "a\"b"})", R"({"type": "string"})"},
      {R"({"type": "string", "maxLength": 99999999})", R"({"type": "string"})"},
      {R"({"type": "null", "$ref": "http://example.com/schema"})", R"({"type": "null"})"},
      {R"({"patternProperties": {"\\n": {}}, "type": "object"})",
       R"({"type": "object", "additionalProperties": true})"},
      {R"({"propertyNames": {"enum": [3]}, "type": "object"})",
       R"({"type": "object", "additionalProperties": true})"},
  };
  for (const auto& [text, said] : cases) {
    Structure lenient = schema(text);
    EXPECT_THROW(checked_schema(lenient, {}), InputError) << text;
    lenient.refuses_unenforced = false;
    EXPECT_EQ(Json::parse(checked_schema(lenient, {})), Json::parse(said));
  }
}

TEST(SchemaCheck, RefusesWhatIsNoSchema) {
  const std::vector<std::tuple<const char*, const char*>> cases{
      {"", "F"},
      {"{", "F"},
      {"3", "is no schema"},
      {R"({"properties": []})", "/properties"},
      {R"({"properties": {"a": 3}})", "/properties/a"},
      {R"({"anyOf": {}})", "/anyOf"},
      {R"({"required": "a"})", "/required"},
      {R"({"$ref": "http://example.com/schema"})", "another place"},
      {R"({"$ref": "#name"})", "refers to nothing"},
      {R"({"$ref": "#/$defs/A"})", "refers to nothing"},
      {R"({"$ref": 3})", "another place"},
      {R"({"items": {"$id": "http://example.com"}})", "/items/$id"},
      {R"({"minLength": 1, "minItems": 1})", "several types"},
      {R"({"type": "string", "maxLength": 99999999})", "/maxLength"},
      {R"({"type": "array", "minItems": -1})", "/minItems"},
      {R"({"type": "integer", "minimum": 1e30})", "/minimum: not a bound"},
      {R"({"type": ["integer", "null"], "maximum": 18446744073709551615})",
       "an integer of 64 bits"},
      {R"({"type": "string", "const": 3})", "/const"},
      {R"({"const": 12345678901234567890})", "/const: not a number that an answer is held to"},
      {R"({"const": {"a": [0, -1e30]}})", "/const/a/1: not a number"},
      {R"({"enum": [1, 123456789012345678901234567890]})", "/enum/1: not a number"},
      {R"({"enum": ["a", "bc"], "minLength": 3})", "/enum: has no value that is allowed"},
      {R"({"enum": "a"})", "/enum: is no list"},
      {R"({"pattern": "a\"b"})", "/pattern: speaks of characters that JSON escapes"},
      {R"({"pattern": "\\\\"})", "/pattern: speaks of characters that JSON escapes"},
      {R"({"patternProperties": {"\\n": true}})", "speaks of characters that JSON escapes"},
      {R"({"propertyNames": {"pattern": "a\"b"}})", "/propertyNames/pattern: speaks of"},
      {R"({"propertyNames": {"enum": [3]}})", "/propertyNames/enum: names are not held to it"},
      {R"({"propertyNames": {"const": ["a"]}})", "/propertyNames/const: names are not held to it"},
      {R"({"propertyNames": {"enum": ["\"", "a"]}})", "/propertyNames/enum: names are not"},
      {R"({"propertyNames": {"$ref": "#/propertyNames"}})", "/propertyNames/$ref: names are not"},
      {R"({"propertyNames": {"$ref": "#/$defs/A"}, "$defs": {"A": {"type": "null"}}})",
       "/propertyNames/type: names are texts"},
      {R"({"propertyNames": {"type": "integer"}})", "/propertyNames/type: names are texts"},
      {R"({"propertyNames": true})", "/propertyNames: is no schema of names"},
  };
  for (const auto& [text, part] : cases) {
    expect_parts(input_error([&] { checked(text); }), {"F", part});
  }
}

TEST(SchemaCheck, ASchemaHas48Levels) {
  const auto nested = [](int64_t levels) {
    std::string text;
    for (int64_t i = 0; i < levels; ++i) text += R"({"items": )";
    return text + "true" + std::string(static_cast<size_t>(levels), '}');
  };
  const auto tag = [](const std::string& text) {
    return Structure{.kind = Structure::Kind::structural_tag,
                     .text = R"({"type": "structural_tag", "format": {"type": "sequence",
                                 "elements": [{"type": "tag", "begin": "a", "end": "b",
                                 "content": {"type": "json_schema", "json_schema": )" +
                             text + "}}]}}"};
  };
  constexpr int64_t kLevels = 48;
  EXPECT_NO_THROW(checked(nested(kLevels)));
  EXPECT_NO_THROW(checked_tag(tag(nested(kLevels)), {}));
  expect_parts(input_error([&] { checked(nested(kLevels + 1)); }), {"F", "at most 48 levels"});
  expect_parts(input_error([&] { checked_tag(tag(nested(2 * kLevels)), {}); }), {"64 levels"});
}

TEST(SchemaCheck, RemarksAndUnknownNamesAskForNothing) {
  const char* text =
      R"({"title": "T", "description": "D", "default": 3, "type": "string", "x-order": 2,)"
      R"("examples": [], "uniqueItems": false, "$schema": "https://json-schema.org/draft/2020-12"})";
  EXPECT_EQ(Json::parse(checked(text)), Json::parse(text));
}

TEST(SchemaCheck, SaysWhatIsLeftOpen) {
  const std::vector<std::tuple<const char*, const char*>> cases{
      {R"({"minLength": 2})", R"({"minLength": 2, "type": "string"})"},
      {R"({"type": "array"})", R"({"type": "array", "items": true})"},
      {R"({"enum": ["", "ä", "ab", "abc"], "type": "string", "minLength": 1, "maxLength": 2})",
       R"({"enum": ["ä", "ab"], "type": "string"})"},
      {R"({"enum": [1, 2.5, 4, "x"], "minimum": 2, "exclusiveMaximum": 4})",
       R"({"enum": [2.5, "x"]})"},
      {R"({"const": 9223372036854775807, "minimum": 0})", R"({"const": 9223372036854775807})"},
      {R"({"format": "uri", "minLength": 1, "type": "string"})",
       R"({"format": "uri", "type": "string"})"},
      {R"({"format": "path", "maxLength": 9, "type": "string"})",
       R"({"maxLength": 9, "type": "string"})"},
      {R"({"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 2}]})",
       R"({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 2}]})"},
      {R"({"propertyNames": {"maxLength": 3}})",
       R"({"type": "object", "propertyNames": {"maxLength": 3, "type": "string"}})"},
      {R"({"format": "uuid"})", R"({"format": "uuid", "type": "string"})"},
      {R"({"pattern": "^\\w(ä)?$"})",
       R"_({"pattern": "([0-9A-Z_a-z]((\\u{e4})|))()", "type": "string"})_"},
      {R"({"pattern": "[A-Z]{2,3}", "minLength": 1, "maxLength": 3})",
       R"_({"pattern": "([A-Z]{2,3})()", "type": "string"})_"},
      {R"({"patternProperties": {"^k[^\\n]$": true}})",
       R"_({"patternProperties": {"(k[ -!#-\\[\\]-\\u{d7ff}\\u{e000}-\\u{10ffff}])()": true},
           "type": "object"})_"},
      {R"({"type": "object"})", R"({"type": "object", "additionalProperties": true})"},
      {R"({"type": ["array", "null"]})", R"({"type": ["array", "null"], "items": true})"},
      {R"({"properties": {"a": {"type": "object"}}})",
       R"({"type": "object",
           "properties": {"a": {"type": "object", "additionalProperties": true}}})"},
  };
  for (const auto& [text, said] : cases) EXPECT_EQ(Json::parse(checked(text)), Json::parse(said));
}

TEST(SchemaCheck, ASchemaMayReferToOneThatItIsIn) {
  const std::vector<std::tuple<const char*, const char*>> cases{
      {R"({"properties": {"x": {"type": ["array", "object"], "items":
           {"type": ["array", "object"], "items": {"$ref": "#/properties/x"}}}}})",
       R"({"type": "object", "properties": {"x": {"type": ["array", "object"], "items":
           {"type": ["array", "object"], "items": {"$ref": "#/properties/x"},
            "additionalProperties": true}, "additionalProperties": true}}})"},
      {R"({"properties": {"x": {"oneOf":
           [{"type": "array", "items": {"$ref": "#/properties/x"}}, {"type": "null"}]}}})",
       R"({"type": "object", "properties": {"x": {"anyOf":
           [{"type": "array", "items": {"$ref": "#/properties/x"}}, {"type": "null"}]}}})"},
  };
  for (const auto& [text, said] : cases) EXPECT_EQ(Json::parse(checked(text)), Json::parse(said));
}

TEST(SchemaCheck, SchemasInATagAreChecked) {
  const Structure tag{
      .kind = Structure::Kind::structural_tag,
      .text = R"({"type": "structural_tag", "format": {"type": "tag", "begin": "<a>", "end": "</a>",
                  "content": {"type": "json_schema", "json_schema": {"not": {}}}}})",
      .field = "F"};
  expect_parts(
      input_error([&] { checked_tag(tag, {}); }),
      {"F.format.content.json_schema: /not: an answer", "in the tag that begins with '<a>'"});
}

}  // namespace
}  // namespace dms::grammar
