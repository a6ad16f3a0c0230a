#include "grammar/ebnf.h"

#include <array>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace dms::grammar {
namespace {

TEST(Ebnf, ChoicesAreQuoted) {
  const std::array<std::string, 3> choices{"a", "b\"\\", "\n"};
  EXPECT_EQ(ebnf_of_choices(choices), "root ::= \"a\" | \"b\\\"\\\\\" | \"\\u000a\"\n");
}

TEST(Ebnf, APointByItselfIsAnyCharacter) {
  constexpr const char* kAny = "[\\u0001-\\U0010ffff]";
  EXPECT_EQ(ebnf_of_gbnf("root ::= . \".\" [.] a.b # .\n"),
            std::string("root ::= ") + kAny + " \".\" [.] a.b # .\n");
  EXPECT_EQ(ebnf_of_gbnf("root ::= \"\\\".\" .*"), std::string("root ::= \"\\\".\" ") + kAny + "*");
  EXPECT_EQ(ebnf_of_gbnf("\"."), "\".");
  EXPECT_EQ(ebnf_of_gbnf("\"\\"), "\"\\");
}

TEST(Ebnf, AnAlternativeMayBeEmpty) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"space ::= | \" \" | \"\\n\"", "space ::= \"\" | \" \" | \"\\n\""},
      {"root ::= (\"a\" | )", "root ::= (\"a\" | \"\" )"},
      {"root ::= (|\"a\"||b)", "root ::= ( \"\"|\"a\"| \"\"|b)"},
      {"root ::= \"a\" |", "root ::= \"a\" | \"\""},
      {"root ::= a | # or not\na ::= \"a\"", "root ::= a | \"\" # or not\na ::= \"a\""},
      {"root ::= a |\n  a \"b\" | ()", "root ::= a |\n  a \"b\" | ()"},
      {"root ::= (\"a\") | \"|\" | [|]{1,2}", "root ::= (\"a\") | \"|\" | [|]{1,2}"},
      {"root ::= ", "root ::= "},
  };
  for (const auto& [gbnf, ebnf] : cases) EXPECT_EQ(ebnf_of_gbnf(gbnf), ebnf);
}

TEST(Ebnf, EscapesAndNamesAreThoseOfGbnf) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {R"(root ::= "\x41BC" [^\x7F\x00-\x1Fa] "\\x41")",
       R"(root ::= "\u0041BC" [^\u007F\u0000-\u001Fa] "\\x41")"},
      {R"(root ::= "\[a\]" [\[\]])", R"(root ::= "[a]" [\[\]])"},
      {"root ::= 1a-kv 2{10,12} a1 a.1\n1a-kv ::= \"1\"",
       "root ::= _1a-kv _2{10,12} a1 a.1\n_1a-kv ::= \"1\""},
  };
  for (const auto& [gbnf, ebnf] : cases) EXPECT_EQ(ebnf_of_gbnf(gbnf), ebnf);
}

}  // namespace
}  // namespace dms::grammar
