#include "base/terminal_text.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace dms {
namespace {

using namespace std::string_view_literals;

TEST(TerminalText, WritesControlCharactersAsJsonDoes) {
  EXPECT_EQ(escape_controls("\x1b[2J\x07 \r\n\tx\x7f"), "\\u001b[2J\\u0007 \\u000d\n\tx\\u007f");
  EXPECT_EQ(escape_controls("a\0b"sv), "a\\u0000b");
  EXPECT_EQ(escape_controls("\xc2\x9b"
                            "31m\xc2\x80\xc2\x9f"),
            "\\u009b31m\\u0080\\u009f");
}

TEST(TerminalText, LeavesEverythingElseAlone) {
  const std::string text = "h\xc3\xa9llo \xc2\xa0\xe2\x9c\x93\xf0\x9f\x98\x80 \\n\n\t";
  EXPECT_EQ(escape_controls(text), text);
  EXPECT_EQ(escape_controls("\xc2"), "\xc2") << "half a character";
  EXPECT_EQ(escape_controls(""), "");
}

TEST(TerminalText, LeavesJsonTheSameJson) {
  const Json value{{"text", "\x1b[2J\x7f\xc2\x9b\\ \"\n"}};
  const std::string text = escape_controls(value.dump());
  EXPECT_EQ(Json::parse(text), value);
  EXPECT_EQ(text.find('\x7f'), std::string::npos);
}

}  // namespace
}  // namespace dms
