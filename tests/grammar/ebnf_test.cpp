#include "grammar/ebnf.h"

#include <array>

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

}  // namespace
}  // namespace dms::grammar
