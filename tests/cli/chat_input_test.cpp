#include "cli/chat_input.h"

#include <cstdlib>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

std::pair<std::string, std::string> split(std::string text) {
  std::string word = take_word(text);
  return {word, text};
}

using Pair = std::pair<std::string, std::string>;

TEST(TakeWord, EndsAtSpaceOrQuote) {
  EXPECT_EQ(split("/read a.txt what is it?"), Pair("/read", "a.txt what is it?"));
  EXPECT_EQ(split("  a.txt\n what"), Pair("a.txt", "what"));
  EXPECT_EQ(split("'my file.txt' what"), Pair("my file.txt", "what"));
  EXPECT_EQ(split("\"it's\"what"), Pair("it's", "what"));
  EXPECT_EQ(split("'never closed"), Pair("never closed", ""));
  EXPECT_EQ(split("alone"), Pair("alone", ""));
  EXPECT_EQ(split("  "), Pair("", ""));
}

TEST(ExpandHome, ReplacesALeadingTilde) {
  const char* home = std::getenv("HOME");
  if (home == nullptr) GTEST_SKIP() << "HOME is not set";
  EXPECT_EQ(expand_home("~/x"), std::string(home) + "/x");
  EXPECT_EQ(expand_home("~x"), "~x");
  EXPECT_EQ(expand_home("/a/~/x"), "/a/~/x");
}

}  // namespace
}  // namespace dms::cli
