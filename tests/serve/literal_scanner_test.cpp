#include "serve/literal_scanner.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/python_text.h"

namespace dms::serve {
namespace {

std::unique_ptr<QuotedText> python_text() { return std::make_unique<PythonText>(); }

/// What a literal between blanks is as JSON; nothing where it is none.
std::optional<std::string> json_of(std::string_view literal) {
  LiteralScanner scanner({.make_text = python_text});
  std::string json;
  std::string text(" ");
  text.append(literal).append(" ");
  for (size_t i = 0; i < text.size(); ++i) {
    const LiteralStep step = scanner.push(text[i], json);
    if (step == LiteralStep::kBad) return std::nullopt;
    if (step == LiteralStep::kMore) continue;
    const size_t rest = step == LiteralStep::kDone ? i + 1 : i;
    return text.substr(rest) == " " ? std::optional(json) : std::nullopt;
  }
  return std::nullopt;
}

/// The values are CPython's, by json.dumps(ast.literal_eval(...)).
TEST(LiteralScanner, WritesPythonsLiteralsAsJson) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases{
      {"0", "0"},
      {"-12", "-12"},
      {"+1", "1"},
      {"1_000_000", "1000000"},
      {"0x1F", "31"},
      {"0o17", "15"},
      {"0b101", "5"},
      {"-0xff", "-255"},
      {"1.", "1.0"},
      {".5", "0.5"},
      {"-.5e-3", "-0.5e-3"},
      {"1E5", "1E5"},
      {"True", "true"},
      {"None", "null"},
      {"[]", "[]"},
      {"[1, [2, ], 'x']", R"([1, [2], "x"])"},
      {"{'a': 1, \"b\": {}, }", R"({"a": 1, "b": {}})"},
      {"''", R"("")"},
      {"'a\"b'", R"("a\"b")"},
      {R"("tab\tnew\nback\\slash\'s")", R"("tab\tnew\nback\\slash's")"},
      {R"('\x41\u00e9\U0001F600\101\0')", R"("\u0041\u00e9\ud83d\ude00\u0041\u0000")"},
      {R"('\08\18')", R"("\u00008\u00018")"},
      {R"('\d\/')", R"("\\d/")"},
      {"'one\\\ntwo'", R"("onetwo")"},
      {"'''a'b''c\n'''", R"("a'b''c\n")"},
      {"\"\"\"\\\"\"\"\"", R"("\"")"},
      {"\"\"\"\"\"\"", R"("")"},
      {"'Köln'", "\"Köln\""},
  };
  for (const auto& [literal, json] : cases) EXPECT_EQ(json_of(literal), json) << literal;
}

TEST(LiteralScanner, RefusesEverythingElse) {
  for (const std::string_view text : {"x",
                                      "1 2",
                                      "01",
                                      "1__0",
                                      "_1",
                                      "1_",
                                      ".",
                                      "-",
                                      "+-1",
                                      "1e",
                                      "0x",
                                      "0xG",
                                      "nan",
                                      "inf",
                                      "1j",
                                      "tru",
                                      "b'x'",
                                      "'x' 'y'",
                                      "f()",
                                      "(1)",
                                      "{1, 2}",
                                      "{1: 2}",
                                      "{'a'}",
                                      "[1 2]",
                                      "[1,,2]",
                                      "[,]",
                                      "{'a': 1 'b'",
                                      "[1}",
                                      "{]",
                                      R"('\x4')",
                                      R"('\uD8')",
                                      "1+1",
                                      "0xFFFFFFFFFFFFFFFFF",
                                      R"('\U00110000')",
                                      "[x for x in y]",
                                      "1.2.3",
                                      "not True"}) {
    EXPECT_EQ(json_of(text), std::nullopt) << text;
  }
}

TEST(LiteralScanner, DepthAndLengthsAreBounded) {
  const std::string deep(LiteralScanner::kMostDepth, '[');
  const std::string ends(LiteralScanner::kMostDepth, ']');
  EXPECT_TRUE(json_of(deep + ends));
  EXPECT_FALSE(json_of(std::string("[").append(deep).append(ends).append("]")));
  EXPECT_TRUE(json_of(std::string(500, '7')));
  EXPECT_FALSE(json_of(std::string(100'000, '7')));
}

}  // namespace
}  // namespace dms::serve
