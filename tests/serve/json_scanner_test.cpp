#include "serve/json_scanner.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/json.h"

namespace dms::serve {
namespace {

TEST(JsonScanner, TakesWhatAParserTakes) {
  for (const std::string_view text :
       {R"({})",
        R"([])",
        R"( {"a": [1, -2.5e+10, 0, 0.1E-2, true, false, null, "x"], "b": {"c": []}} )",
        R"("\"\\\/\b\f\n\r\t\u00e9")",
        R"("Grüße")",
        "12",
        "-0",
        "1e5",
        "true",
        " null\n"}) {
    EXPECT_TRUE(is_json(text)) << text;
    EXPECT_TRUE(OrderedJson::accept(text)) << text;
  }
}

TEST(JsonScanner, TakesNothingElse) {
  for (const std::string_view text :
       {"",          " ",           "{",         "}",           "[1,]",     "{,}",   R"({"a"})",
        R"({"a":})", R"({"a":1,})", R"({a: 1})", R"({'a': 1})", "01",       "1.",    ".5",
        "+1",        "-",           "1e",        "1e+",         "tru",      "truex", "nul",
        "NaN",       R"("a)",       R"("\x")",   R"("\u12g4")", "\"a\nb\"", "[1 2]", "{} {}",
        "1 2",       "[}",          R"({"a":1])"}) {
    EXPECT_FALSE(is_json(text)) << text;
    EXPECT_FALSE(OrderedJson::accept(text)) << text;
  }
}

TEST(JsonScanner, SaysWhereTheValueEnds) {
  using Step = JsonScanner::Step;
  JsonScanner object;
  EXPECT_EQ(object.push('{'), Step::kMore);
  EXPECT_EQ(object.push('}'), Step::kDone);
  JsonScanner number;
  EXPECT_EQ(number.push('7'), Step::kMore);
  EXPECT_EQ(number.push(','), Step::kOver);
  JsonScanner text;
  EXPECT_EQ(text.push('"'), Step::kMore);
  EXPECT_EQ(text.push('"'), Step::kDone);
}

TEST(JsonScanner, IsNotLedIntoTheDepths) {
  const std::string inside(JsonScanner::kMostDepth, '[');
  EXPECT_TRUE(is_json(inside + std::string(inside.size(), ']')));
  EXPECT_FALSE(is_json("[" + inside + std::string(inside.size() + 1, ']')));
}

TEST(JsonScanner, KnowsAnObject) {
  EXPECT_TRUE(is_json_object(" {\"a\": 1}\n"));
  EXPECT_FALSE(is_json_object("[{}]"));
  EXPECT_FALSE(is_json_object("{"));
  EXPECT_FALSE(is_json_object(""));
}

}  // namespace
}  // namespace dms::serve
