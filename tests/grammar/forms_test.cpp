// Forms of strangers: each is compiled or refused by an InputError that names its field.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/guide.h"
#include "grammar/guides.h"
#include "support/errors.h"
#include "support/letters.h"

namespace dms::grammar {
namespace {

using Kind = Structure::Kind;
using testing_support::expect_parts;
using testing_support::input_error;

class Forms : public testing::Test {
 protected:
  void compile(Kind kind, const std::string& text) {
    guides_->compile({.kind = kind, .text = text, .field = "F"}, {});
  }
  std::string refusal(Kind kind, const std::string& text) {
    return input_error([&] { compile(kind, text); });
  }

  std::unique_ptr<engine::GuideMaker> guides_ =
      make_guides(testing_support::letters_tokenizer(), 100);
};

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST_F(Forms, WhatIsMalformedIsRefused) {
  const std::vector<std::pair<Kind, std::string>> cases{
      {Kind::regex, "("},
      {Kind::regex, "[a"},
      {Kind::regex, "a{3,1}"},
      {Kind::regex, "a(?=b)"},
      {Kind::regex, R"((a)\1)"},
      {Kind::regex, std::string("a\0b", 3)},
      {Kind::grammar, "root ::= "},
      {Kind::grammar, "root ::= other"},
      {Kind::grammar, "other ::= \"a\""},
      {Kind::grammar, "root ::= \"a"},
      {Kind::grammar, "nonsense"},
      {Kind::choice, "[]"},
      {Kind::choice, "[3]"},
      {Kind::choice, R"([""])"},
      {Kind::choice, R"({"a": 1})"},
      {Kind::choice, "["},
      {Kind::json_schema, "no JSON"},
      {Kind::json_schema, "false"},
      {Kind::json_schema, R"({"type": "text"})"},
      {Kind::json_schema, R"({"type": "integer", "minimum": 3, "maximum": 2})"},
      {Kind::json_schema, R"({"type": "string", "pattern": "("})"},
      {Kind::json_schema, R"({"type": "string", "pattern": 3})"},
      {Kind::json_schema, R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})"},
      {Kind::structural_tag, "{}"},
      {Kind::structural_tag, R"({"type": "structural_tag", "format": {"type": "none"}})"},
  };
  for (const auto& [kind, text] : cases) {
    SCOPED_TRACE(text);
    expect_parts(refusal(kind, text), {"F"});
  }
}

/// As of llama.cpp, whose grammars of JSON begin their space with nothing.
TEST_F(Forms, GbnfIsRead) {
  for (const char* grammar : {
           R"(
root  ::= "{" space ( 1st-pair ("," space 1st-pair)* )? "}" space # any
1st-pair ::= string ":" space (string | ("true" | "null") space | "-"? [0-9]{1,15} space)
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" space
space ::= | " " | "\n"{1,2} [ \t]{0,20}
)",
           "root ::= | \"a\"",
           "root ::= \"a\" |",
           "root ::= (\"a\" | )\n",
           "root ::= a? [!\"#$%&'()*+,-./:;<=>?@[\\\\\\]^_`{|}~]\na ::= [\u3041-\u309f] | # or\n",
       }) {
    EXPECT_NO_THROW(compile(Kind::grammar, grammar)) << grammar;
  }
}

TEST_F(Forms, WhatNoAnswerCanBeIsRefused) {
  expect_parts(refusal(Kind::grammar, "root ::= root"), {"F", "no answer"});
  expect_parts(refusal(Kind::json_schema, R"({"$ref": "#"})"), {"F"});
  expect_parts(refusal(Kind::regex, "\\x01"), {"F", "no answer"});
}

TEST_F(Forms, HugeOnesEndInAFormOrARefusal) {
  std::string properties;
  for (int i = 0; i < 400; ++i) {
    properties += "\"p" + std::to_string(i) + R"(": {"type": "integer"},)";
  }
  std::string choices = "\"x\"";
  for (int i = 0; i < 4000; ++i) choices += ",\"" + std::to_string(i * 7919) + "\"";
  const std::vector<std::pair<Kind, std::string>> cases{
      {Kind::regex, "(a{1,10000}){1,10000}"},
      {Kind::regex, "((((a?){30}){30}){30}){30}"},
      {Kind::regex, "(a|b)*a(a|b){25}"},
      {Kind::regex, "(a|aa|aaa)*(a*)*(.*a){12}"},
      {Kind::regex, repeated("(", 1000) + "a" + repeated(")", 1000)},
      {Kind::regex, repeated("a|", 1000) + "a"},
      {Kind::regex, repeated("[a-z]?", 300)},
      {Kind::regex, "a{2000000000}"},
      {Kind::regex, "a{99999999999999999999}"},
      {Kind::grammar, "root ::= " + repeated("(", 1000) + "\"a\"" + repeated(")", 1000)},
      {Kind::grammar, "root ::= \"a\"" + repeated("{1,9}", 30)},
      {Kind::grammar, "root ::= (\"a\"{1,999}){1,999}"},
      {Kind::grammar, "root ::= a\na ::= a a | \"x\" | \"\""},
      {Kind::grammar, "root ::= " + repeated("\"a\" | ", 300) + "\"a\""},
      {Kind::choice, "[" + choices + "]"},
      {Kind::json_schema, R"({"enum": [)" + choices + "]}"},
      {Kind::json_schema, R"({"properties": {)" + properties + R"("last": true}})"},
      {Kind::json_schema,
       R"({"properties": {)" + properties + R"("last": true}, "minProperties": 300})"},
      {Kind::json_schema, R"({"type": "string", "minLength": 9000, "maxLength": 10000})"},
      {Kind::json_schema,
       R"({"type": "array", "items": {"type": "array", "minItems": 9000,)"
       R"("items": {"type": "array", "minItems": 9000}}, "minItems": 9000})"},
      {Kind::json_schema,
       R"({"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]})"},
      {Kind::json_schema, repeated(R"({"items":)", 40) + "true" + repeated("}", 40)},
      {Kind::json_schema, R"({"type": "string", "pattern": "(x+x+)+y(a|b)*a(a|b){25}"})"},
      {Kind::structural_tag, repeated("[", 3000)},
      {Kind::regex, repeated("(a|b|ab)*", 200)},
      {Kind::regex, repeated("a", 2000)},
  };
  for (const auto& [kind, text] : cases) {
    SCOPED_TRACE(text.substr(0, 80));
    try {
      compile(kind, text);
    } catch (const InputError& error) {
      expect_parts(error.what(), {"F"});
    }
  }
}

TEST_F(Forms, WhatWouldTakeLongIsRefusedAtOnce) {
  expect_parts(refusal(Kind::regex, repeated("[a-z]?", 8000)), {"F", "too long"});
  expect_parts(refusal(Kind::grammar, "root ::= " + repeated("\"a\" ", 4000)), {"too long"});
  expect_parts(refusal(Kind::choice, "[\"" + repeated("a", 70000) + "\"]"), {"too long"});
  expect_parts(refusal(Kind::json_schema,
                       R"({"type": "string", "pattern": ")" + repeated("a?", 5000) + "\"}"),
               {"too long together"});
  // Many short ones are no less, in a schema or in a tag.
  const std::string some = R"({"pattern": ")" + repeated("a?", 300) + "\"}";
  expect_parts(refusal(Kind::json_schema,
                       R"({"prefixItems": [)" + some + "," + some + "," + some + "," + some + "]}"),
               {"too long together"});
  for (const char* key : {"pattern", "grammar"}) {
    const std::string type = key == std::string("pattern") ? "regex" : "grammar";
    expect_parts(refusal(Kind::structural_tag,
                         R"({"type": "structural_tag", "format": {"type": ")" + type + "\", \"" +
                             key + "\": \"" + repeated("a?", 5000) + "\"}}"),
                 {"too long together"});
  }
}

/// A tag that has one part often is no larger for it.
TEST_F(Forms, WhatStandsInATagTwiceIsCountedOnce) {
  const std::string part = R"({"type": "regex", "pattern": "[a-z]{2,9}[0-9]?)";
  const auto tag = [&](bool is_same) {
    std::string parts;
    for (int i = 0; i < 300; ++i) {
      parts += (i > 0 ? "," : "") + part + (is_same ? "" : std::to_string(i)) + "\"}";
    }
    return R"({"type": "structural_tag", "format": {"type": "or", "elements": [)" + parts + "]}}";
  };
  EXPECT_NO_THROW(compile(Kind::structural_tag, tag(true)));
  expect_parts(refusal(Kind::structural_tag, tag(false)), {"too long together"});
}

/// As of a request with as many tools as there may be.
TEST_F(Forms, ATagHasRoomForManySchemas) {
  const auto form = [](int schemas, int properties) {
    std::string tags;
    for (int i = 0; i < schemas; ++i) {
      const std::string name = "f" + std::to_string(i);
      std::string named;
      for (int j = 0; j < properties; ++j) {
        named += (j == 0 ? "\"p" : ",\"p") + std::to_string(j) +
                 R"(": {"type": "string", "description": ")" + repeated("What it is. ", 6) + "\"}";
      }
      tags += (i == 0 ? "" : ",") + (R"({"type": "tag", "begin": "<)" + name) +
              R"(>", "end": "</>", "content": {"type": "json_schema", "json_schema": )" +
              R"({"type": "object", "properties": {)" + named + "}}}}";
    }
    return R"({"type": "structural_tag", "format": {"type": "tags_with_separator", "tags": [)" +
           tags + R"(], "separator": ",", "at_least_one": true}})";
  };
  const std::string many = form(128, 12);
  EXPECT_GT(many.size(), size_t{128} * 1024);
  EXPECT_NO_THROW(compile(Kind::structural_tag, many));
  expect_parts(refusal(Kind::structural_tag, form(1, 700)), {"json_schema", "too long"});
  expect_parts(refusal(Kind::structural_tag, form(128, 50)), {"F", "too long"});
}

TEST_F(Forms, AChainOfReferencesIsFollowed) {
  std::string defs;
  for (int i = 0; i < 200; ++i) {
    defs +=
        "\"d" + std::to_string(i) + R"(": {"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"},";
  }
  EXPECT_NO_THROW(
      compile(Kind::json_schema,
              R"({"$ref": "#/$defs/d0", "$defs": {)" + defs + R"("d200": {"type": "null"}}})"));
}

}  // namespace
}  // namespace dms::grammar
