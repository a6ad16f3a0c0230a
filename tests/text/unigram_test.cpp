// What the property tests against `tokenizers` do not reach: long pieces, hostile vocabularies.

#include "text/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using testing::ElementsAre;

Json unigram_json(const Json& vocab) {
  return {{"version", "1.0"}, {"model", {{"type", "Unigram"}, {"vocab", vocab}, {"unk_id", 0}}}};
}

Json letters() {
  return Json::array({{"<unk>", 0.0},
                      {"a", -1.0},
                      {"b", -1.0},
                      {"ab", -1.5},
                      {"abc", -9.0},
                      {"<0xC3>", -20.0},
                      {"<0xA9>", -20.0}});
}

std::vector<int32_t> encoded(const Json& json, const std::string& text) {
  return testing_support::parsed(json).encode(text, false);
}

TEST(Unigram, TakesTheBestSum) {
  EXPECT_THAT(encoded(unigram_json(letters()), "abba"), ElementsAre(3, 2, 1));
  EXPECT_THAT(encoded(unigram_json(letters()), "abc"), ElementsAre(4));
}

TEST(Unigram, FusesUnknownCharacters) {
  EXPECT_THAT(encoded(unigram_json(letters()), "xya<unk>z"), ElementsAre(0, 1, 0));
  Json json = unigram_json(letters());
  json["model"]["byte_fallback"] = true;
  EXPECT_THAT(encoded(json, "a\u00e9b"), ElementsAre(1, 5, 6, 2));
  EXPECT_THAT(encoded(json, "a\u00e9xb"), ElementsAre(1, 0, 2));
}

TEST(Unigram, NeedsAnUnkOnlyForUnknownCharacters) {
  Json json = unigram_json(letters());
  json["model"].erase("unk_id");
  EXPECT_THAT(encoded(json, "ab"), ElementsAre(3));
  expect_parts(input_error([&] { encoded(json, "axb"); }), {"test.json: model", "unk_id"});
}

TEST(Unigram, EncodesPiecesOfAnyLength) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += i % 3 == 2 ? "x" : "ab";
  const std::vector<int32_t> ids = encoded(unigram_json(letters()), text);
  ASSERT_EQ(ids.size(), 300'000u);
  EXPECT_EQ(ids[299'997], 3);
  EXPECT_EQ(ids[299'999], 0);
}

// The trainer of `tokenizers` writes special tokens twice where texts had them.
TEST(Unigram, TakesTheLastOfEqualTokens) {
  Json vocab = letters();
  vocab.push_back({"a", -1.0});
  EXPECT_THAT(encoded(unigram_json(vocab), "ba"), ElementsAre(2, 7));
}

TEST(Unigram, RefusesBrokenVocabularies) {
  const std::pair<Json, const char*> cases[] = {
      {Json::array({"a"}), "bad entry"},
      {Json::array({{"a", "b"}}), "bad entry"},
      {Json::array(), "unk_id"},
      {Json::array({{std::string(2000, 'a'), 0.0}}), "too long"},
  };
  for (const auto& [vocab, named] : cases) {
    expect_parts(input_error([&] { testing_support::parsed(unigram_json(vocab)); }),
                 {"test.json: model", named});
  }
}

}  // namespace
}  // namespace dms::text
