#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "text/jinja/lexer.h"

namespace dms::text::jinja {
namespace {

/// Text as it is, tags as <kind:text>.
std::string shape(std::string_view source) {
  std::string out;
  for (const Token& token : tokenize(source, {.where = "t"})) {
    switch (token.kind) {
      case Token::Kind::kText:
        out += token.text;
        break;
      case Token::Kind::kVariableBegin:
      case Token::Kind::kBlockBegin:
        out += "<";
        break;
      case Token::Kind::kVariableEnd:
      case Token::Kind::kBlockEnd:
        out += ">";
        break;
      case Token::Kind::kEnd:
        break;
      default:
        out += "[" + token.text + "]";
    }
  }
  return out;
}

struct Case {
  std::string name, source, expected;
};

class JinjaLexer : public testing::TestWithParam<Case> {};

TEST_P(JinjaLexer, TreatsWhiteSpaceAsJinja2) {
  EXPECT_EQ(shape(GetParam().source), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    WhiteSpace,
    JinjaLexer,
    testing::Values(Case{"trim_blocks", "a\n{% x %}\nb", "a\n<[x]>b"},
                    Case{"only_one_newline_is_trimmed", "{% x %}\n\nb", "<[x]>\nb"},
                    Case{"lstrip_blocks", "a\n  {% x %}b", "a\n<[x]>b"},
                    Case{"lstrip_at_the_start", "  {% x %}b", "<[x]>b"},
                    Case{"no_lstrip_after_text", "a {% x %}b", "a <[x]>b"},
                    Case{"no_lstrip_of_variables", "a\n  {{ x }}\nb", "a\n  <[x]>\nb"},
                    Case{"plus_keeps", "a\n  {%+ x +%}\nb", "a\n  <[x]>\nb"},
                    Case{"minus_strips", "a \n {%- x -%} \n b", "a<[x]>b"},
                    Case{"minus_on_variables", "a \n {{- x -}} \n b", "a<[x]>b"},
                    Case{"comment", "a\n  {# no {{ tag }} #}\nb", "a\nb"},
                    Case{"comment_marks", "a {#- x -#} b", "ab"},
                    Case{"raw", "{% raw %}\n{{ x }}{% endraw %}\nb", "\n{{ x }}b"},
                    Case{"raw_marks", "a {%- raw -%} x {%- endraw -%} b", "axb"},
                    Case{"last_newline_is_dropped", "a\n\n", "a\n"},
                    Case{"carriage_returns", "a\r\nb\rc", "a\nb\nc"},
                    Case{"braces_of_dicts", "{{ {'a': {}} }}", "<[{][a][:][{][}][}]>"},
                    Case{"escapes", R"({{ 'a\n\x41\u00e9\'' "\q" }})", "<[a\nA\u00e9'][\\q]>"},
                    Case{"numbers", "{{ 1_000 1.5 2e3 x.0 }}", "<[1000][1.5][2e3][x][.][0]>"}),
    [](const auto& test) { return test.param.name; });

TEST(JinjaLexerErrors, NameLineAndReason) {
  const auto message = [](std::string_view source) -> std::string {
    try {
      tokenize(source, {.where = "file"});
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("\n\n{{ 'a }}"), "file: line 3: string without end");
  EXPECT_EQ(message("{# a"), "file: line 1: missing end of comment");
  EXPECT_EQ(message("{% raw %}"), "file: line 1: missing end of raw block");
  EXPECT_EQ(message("{{ ) }}"), "file: line 1: unexpected ')'");
  EXPECT_EQ(message("{{ (] }}"), "file: line 1: unexpected ']'");
  EXPECT_EQ(message("{{ a ? b }}"), "file: line 1: unexpected character '?'");
  EXPECT_THAT(message("{{ 99999999999999999999 }}"), testing::HasSubstr("unsupported number"));
  EXPECT_THAT(message(R"({{ '\ud800' }})"), testing::HasSubstr("bad escape"));
}

}  // namespace
}  // namespace dms::text::jinja
