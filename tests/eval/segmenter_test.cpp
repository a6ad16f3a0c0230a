// Texts of any kind through a command that divides lines into words.

#include "eval/segmenter.h"

#include <csignal>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::eval {
namespace {

using Texts = std::vector<std::string>;

Texts words(const std::string& script, const Texts& texts) {
  std::signal(SIGPIPE, SIG_IGN);
  return Segmenter({"sh", "-c", script}, [] {}).words_of(texts);
}

std::string refusal(const std::string& script, const Texts& texts) {
  return testing_support::input_error([&] { words(script, texts); });
}

TEST(Segmenter, EachTextIsALineWhateverStandsInIt) {
  // Each "b" becomes a word; blanks of any kind and number divide words.
  EXPECT_EQ(words("sed 's/b/ b /g'", {"abc", "", "b\r\nd", " \n", "a\u3000\u2028bb\n\nc"}),
            (Texts{"a b c", "", "b d", "", "a b b c"}));
  EXPECT_EQ(words("tr -d '\\n' < /dev/null; exit 1", {"", "\n"}), (Texts{"", ""}));  // not started
  EXPECT_EQ(words("cat", {"a\xff"}), Texts{"a\uFFFD"});
}

TEST(Segmenter, WhatIsNotTheTextIsRefused) {
  testing_support::expect_parts(
      refusal("sed 's/$/./'", {"北京"}),
      {"--segmenter: wrote another text as line 1", "got '北京.'", "expected '北京'"});
  testing_support::expect_parts(refusal("head -n 1", {"a", "", "b", "c"}),
                                {"another number of lines", "got 1", "expected 3"});
  testing_support::expect_parts(refusal("cat; echo", {"a"}), {"got 2", "expected 1"});
  testing_support::expect_parts(refusal("true", {"a"}), {"got 0", "expected 1"});
  testing_support::expect_parts(refusal("exit 4", {"a"}), {"failed with status 4"});
  testing_support::expect_parts(refusal("sed 's/a/ \\/ /g'", {std::string(100, 'a')}),
                                {"wrote another text", "'aaa"});
}

}  // namespace
}  // namespace dms::eval
