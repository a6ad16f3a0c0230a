// What goldens of published vocabularies do not show: flags of added tokens, unknown characters,
// prefixes, streams, threads.

#include "text/tokenizer.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using testing::ElementsAre;
using testing_support::parsed;
using testing_support::tokenizer_json;

Json added(const std::string& content, int32_t id, const Json& flags = Json::object()) {
  Json token = {{"id", id},
                {"content", content},
                {"single_word", false},
                {"lstrip", false},
                {"rstrip", false},
                {"normalized", false},
                {"special", false}};
  token.update(flags);
  return token;
}

TEST(Tokenizer, TakesWhiteSpaceAroundStrippingTokens) {
  Json json = tokenizer_json({"a", " "});
  json["added_tokens"] = {added("<l>", 2, {{"lstrip", true}}), added("<r>", 3, {{"rstrip", true}})};
  const Tokenizer tokenizer = parsed(json);
  EXPECT_THAT(tokenizer.encode("a  <l> a", false), ElementsAre(0, 2, 1, 0));
  EXPECT_THAT(tokenizer.encode("a <r>  a", false), ElementsAre(0, 1, 3, 0));
  EXPECT_THAT(tokenizer.encode(" <r> <l> ", false), ElementsAre(1, 3, 2, 1));
}

TEST(Tokenizer, FindsSingleWordTokensOnlyAlone) {
  Json json = tokenizer_json({"a", "X", "Y", "-"});
  json["added_tokens"] = {added("XY", 4, {{"single_word", true}})};
  const Tokenizer tokenizer = parsed(json);
  EXPECT_THAT(tokenizer.encode("XY-XY", false), ElementsAre(4, 3, 4));
  EXPECT_THAT(tokenizer.encode("XYa", false), ElementsAre(1, 2, 0));
}

TEST(Tokenizer, PrefersTheLongestAddedToken) {
  Json json = tokenizer_json({"a", "b", "c"});
  json["added_tokens"] = {added("ab", 3), added("abc", 4), added("bc", 5)};
  EXPECT_THAT(parsed(json).encode("ababcbc", false), ElementsAre(3, 4, 5));
}

TEST(Tokenizer, SeeksNormalizedTokensInNormalizedText) {
  Json json = tokenizer_json({"x"});
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"] = {added("e\u0301", 1, {{"normalized", true}})};
  const Tokenizer tokenizer = parsed(json);
  EXPECT_THAT(tokenizer.encode("x\u00e9e\u0301", false), ElementsAre(0, 1, 1));
}

TEST(Tokenizer, FallsBackToBytesOrUnk) {
  Json json = tokenizer_json({"<unk>", "a", "<0xC3>", "<0xA9>"});
  json["model"]["unk_token"] = "<unk>";
  json["model"]["byte_fallback"] = true;
  json["model"]["fuse_unk"] = true;
  EXPECT_THAT(parsed(json).encode("a\u00e9\u4e2d\u4e2da", false), ElementsAre(1, 2, 3, 0, 1));
  json["model"]["fuse_unk"] = false;
  EXPECT_THAT(parsed(json).encode("\u4e2d\u4e2d", false), ElementsAre(0, 0));
}

TEST(Tokenizer, AddsPrefixAndSuffixOfSubwords) {
  Json json = tokenizer_json({"a", "##b", "##b</w>", "ab"}, {{"a", "##b"}});
  json["model"]["continuing_subword_prefix"] = "##";
  EXPECT_THAT(parsed(json).encode("ab", false), ElementsAre(3));
  json["model"]["end_of_word_suffix"] = "</w>";
  EXPECT_THAT(parsed(json).encode("abb", false), ElementsAre(3, 2));
}

TEST(Tokenizer, ReadsIllFormedUtf8AsReplacementCharacters) {
  const Tokenizer tokenizer = parsed(tokenizer_json({"a", "\ufffd"}));
  EXPECT_EQ(tokenizer.encode("a\xC3", false), tokenizer.encode("a\ufffd", false));
}

TEST(Tokenizer, PutsTheTemplateAroundText) {
  Json json = tokenizer_json({"a"});
  json["added_tokens"] = {added("<s>", 1, {{"special", true}})};
  const Json special = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {special, {{"Sequence", {{"id", "A"}}}}, special}},
                            {"special_tokens", {{"<s>", {{"ids", {1}}}}}}};
  const Tokenizer tokenizer = parsed(json);
  EXPECT_THAT(tokenizer.encode("a", true), ElementsAre(1, 0, 1));
  EXPECT_THAT(tokenizer.encode("a", false), ElementsAre(0));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1, 0, 1}, true), "a");
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1, 0, 7, -1}, false), "<s> a");
  EXPECT_TRUE(tokenizer.is_special(1));
  EXPECT_EQ(tokenizer.vocab_size(), 2);
  EXPECT_EQ(tokenizer.token_id("<s>"), 1);
  EXPECT_EQ(*tokenizer.token_text(0), "a");
  EXPECT_EQ(tokenizer.token_text(9), nullptr);
}

// A Metaspace vocabulary cuts at U+2581 only where no merge crosses it.
TEST(Tokenizer, DoesNotCutWhereAMergeCrossesAWordBoundary) {
  const std::string meta = "\u2581";
  std::vector<std::string> tokens = {meta, "a", "b", "a" + meta};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    tokens.push_back(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">");
  }
  Json json = tokenizer_json(tokens, {{"a", meta}});
  json["model"]["byte_fallback"] = true;
  EXPECT_THAT(parsed(json).encode("a" + meta + "b", false), ElementsAre(3, 2));
}

TEST(Tokenizer, EncodesWordsOfAnyLength) {
  const Tokenizer tokenizer =
      parsed(tokenizer_json({"a", "aa", "aaaa"}, {{"a", "a"}, {"aa", "aa"}}));
  const std::vector<int32_t> ids = tokenizer.encode(std::string(1'000'001, 'a'), false);
  EXPECT_EQ(ids.size(), 250'001u);
  EXPECT_EQ(ids.front(), 2);
  EXPECT_EQ(ids.back(), 0);
}

TEST(Tokenizer, ServesSeveralThreads) {
  const Tokenizer tokenizer = parsed(tokenizer_json({"a", "b", "ab"}, {{"a", "b"}}));
  const auto work = [&] {
    for (int i = 0; i < 500; ++i) {
      const std::string text(static_cast<size_t>(i % 30), 'a');
      EXPECT_EQ(tokenizer.encode(text + "b", false).back(), i % 30 == 0 ? 1 : 2);
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
}

TEST(Tokenizer, StopsWhenThereAreMoreTokensThanWanted) {
  Json json = tokenizer_json({"a", "\u0120", "<s>"});
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  // One that takes white space: so the length of a text does not tell.
  json["added_tokens"] = {added("<s>", 2, {{"special", true}, {"rstrip", true}})};
  const Tokenizer tokenizer = parsed(json);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += i % 2 == 0 ? "a " : "a<s>";
  const std::vector<int32_t> all = tokenizer.encode(text, false);
  for (const int64_t most : {0, 1, 7, 100}) {
    const std::vector<int32_t> some = tokenizer.encode(text, false, most);
    const auto count = static_cast<int64_t>(some.size());
    EXPECT_GT(count, most);
    EXPECT_LE(count, most + 2);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << most;
  }
  EXPECT_EQ(tokenizer.encode(text, false, std::ssize(all)), all);
}

/// The bytes of the first token of a vocabulary with this decoder.
std::string bytes_under(const Json& decoder, const std::string& token) {
  Json json = tokenizer_json({token, "a"});
  json["decoder"] = decoder;
  return parsed(json).token_bytes(0);
}

TEST(Tokenizer, SaysWhatATokenInTheMidstOfATextAdds) {
  const std::string meta = "\u2581";
  const Json byte_level = {{"type", "ByteLevel"}};
  EXPECT_EQ(bytes_under(byte_level, "\u0120dark"), " dark");
  EXPECT_EQ(bytes_under(byte_level, "\u00c3"), "\xC3") << "half a character";
  EXPECT_EQ(bytes_under(Json(), "\u0120x"), "\u0120x");
  const Json llama = {{"type", "Sequence"},
                      {"decoders",
                       {{{"type", "Replace"}, {"pattern", {{"String", meta}}}, {"content", " "}},
                        {{"type", "ByteFallback"}},
                        {{"type", "Fuse"}},
                        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  EXPECT_EQ(bytes_under(llama, meta + "dark"), " dark");
  EXPECT_EQ(bytes_under(llama, "<0xE4>"), "\xE4");
  const Json metaspace = {
      {"type", "Metaspace"}, {"replacement", meta}, {"prepend_scheme", "always"}};
  EXPECT_EQ(bytes_under(metaspace, meta + "dark"), " dark");
  EXPECT_EQ(bytes_under({{"type", "BPEDecoder"}, {"suffix", "</w>"}}, "dark</w>"), "dark ");
  const Json word_piece = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  EXPECT_EQ(bytes_under(word_piece, "##er"), "er");
  EXPECT_EQ(bytes_under(word_piece, "dark"), " dark");
  EXPECT_EQ(bytes_under(word_piece, "."), ".");
}

TEST(Tokenizer, SaysTheTextOfSpecialTokens) {
  Json json = tokenizer_json({"a"});
  json["added_tokens"] = {added("<|im_end|>", 1, {{"special", true}}), added("b", 2)};
  const Tokenizer tokenizer = parsed(json);
  EXPECT_EQ(tokenizer.special_text(1), "<|im_end|>");
  for (const int32_t id : {0, 2, 3, -1}) EXPECT_EQ(tokenizer.special_text(id), std::nullopt);
}

}  // namespace
}  // namespace dms::text
