#include "base/whole_characters.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms {
namespace {

using testing::ElementsAre;

/// What each piece adds; what is left at the end comes last.
std::vector<std::string> taken(const std::vector<std::string>& pieces) {
  WholeCharacters characters;
  std::vector<std::string> texts;
  for (const std::string& piece : pieces) texts.push_back(characters.take(piece));
  texts.push_back(characters.rest());
  return texts;
}

TEST(WholeCharacters, BelongToThePieceThatEndsThem) {
  EXPECT_THAT(taken({"a\xc3",
                     "\xa9"
                     "b"}),
              ElementsAre("a", "éb", ""));
  EXPECT_THAT(taken({"\xe6", "\x97", "\xa5", "!"}), ElementsAre("", "", "日", "!", ""));
  EXPECT_THAT(taken({"\xf0\x9f", "", "\x99", "\x82\xc3", "\x9c"}),
              ElementsAre("", "", "", "🙂", "Ü", ""));
}

TEST(WholeCharacters, AreReplacedWhereNoneCanBe) {
  EXPECT_THAT(taken({"a\xc3", "b", "\xff\x80"}), ElementsAre("a", "\ufffdb", "\ufffd\ufffd", ""));
  EXPECT_THAT(taken({"a", "\xf0\x9f", "\x99"}), ElementsAre("a", "", "", "\ufffd"));
  EXPECT_THAT(taken({}), ElementsAre(""));
}

}  // namespace
}  // namespace dms
