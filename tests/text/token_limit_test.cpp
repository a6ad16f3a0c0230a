// encode() with a limit: the same ids where they fit, and little work where they cannot.

#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "support/peak_memory.h"
#include "support/seed.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using dms::testing_support::peak_of;
using testing_support::parsed;
using testing_support::tokenizer_json;

using Tokens = std::vector<std::string>;

struct Kind {
  std::string name;
  Json json;
};

Json with(Json json, const Json& model, const Json& root = Json::object()) {
  json["model"].update(model);
  json.update(root);
  return json;
}

Tokens with_fallback_tokens(Tokens tokens) {
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fallback_token(static_cast<uint8_t>(byte)));
  }
  return tokens;
}

// Byte level, with a token for each byte.
Json all_bytes_json() {
  Tokens tokens;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    append_utf8(tokens.emplace_back(), byte_character(static_cast<uint8_t>(byte)));
  }
  for (const char* token : {"aa", "aaaa"}) tokens.emplace_back(token);
  return with(tokenizer_json(tokens, {{"a", "a"}, {"aa", "aa"}}),
              {{"ignore_merges", true}},
              {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
               {"added_tokens", Json::array({{{"id", 258}, {"content", "<mask>"}}})}});
}

std::vector<Kind> bpe_kinds() {
  const Tokens letters = {"<unk>", "a", "b", " ", "aa", "ab", "aaaa", "aab", "\u2581", "\u2581a"};
  const Json plain = tokenizer_json(letters, {{"a", "b"}, {"a", "a"}, {"aa", "aa"}, {"aa", "b"}});
  const Json fallback =
      tokenizer_json(with_fallback_tokens(letters), {{"a", "a"}, {"\u2581", "a"}, {"aa", "aa"}});
  const Json over_words =
      tokenizer_json(with_fallback_tokens({"a", "\u2581", "a\u2581", "a\u2581a"}),
                     {{"a", "\u2581"}, {"a\u2581", "a"}});
  const Json prefixed =
      tokenizer_json({"a", "##a", "##b", "aa", "aaa", "##aa", "##ab"},
                     {{"##a", "##a"}, {"a", "##a"}, {"##a", "##b"}, {"a", "##aa"}});
  const Json suffixed = tokenizer_json({"a", "b", "b</w>", "a</w>", "ab</w>", "aab</w>"},
                                       {{"a", "b</w>"}, {"a", "ab</w>"}});
  const Json nameless = tokenizer_json({"", "a", "b"}, {{"", "a"}});
  const Json bytes = tokenizer_json({"a", "b", "\u0120", "\u00c3", "\u00a9", "\u00c3\u00a9", "aa"},
                                    {{"\u00c3", "\u00a9"}, {"a", "a"}});
  const auto byte_level = [](bool use_regex) {
    return Json{{"pre_tokenizer",
                 {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}}}};
  };
  const Json none = Json::object();
  const Json metaspace = {
      {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"split", false}}}};
  const Json unk = {{"unk_token", "<unk>"}};
  const Json replace = {
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", "aaa"}}}, {"content", "b"}}}};
  return {{"characters", plain},
          {"unk", with(plain, unk)},
          {"fused unk", with(plain, {{"unk_token", "<unk>"}, {"fuse_unk", true}})},
          {"unk without a name", with(nameless, {{"unk_token", ""}, {"fuse_unk", true}})},
          {"whole words", with(plain, {{"ignore_merges", true}})},
          {"fallback", with(fallback, {{"byte_fallback", true}})},
          {"fallback over words", with(over_words, {{"byte_fallback", true}})},
          {"prefix", with(prefixed, {{"continuing_subword_prefix", "##"}})},
          {"suffix", with(suffixed, {{"end_of_word_suffix", "</w>"}})},
          {"shrinking", with(plain, unk, replace)},
          {"bytes", with(bytes, none, byte_level(true))},
          {"bytes in one piece", with(bytes, none, byte_level(false))},
          {"all bytes", all_bytes_json()},
          {"metaspace", with(fallback, {{"byte_fallback", true}}, metaspace)},
          {"bytes with unk", with(with(plain, unk), none, byte_level(false))}};
}

std::vector<Kind> unigram_kinds() {
  Json vocab = Json::array({{"<unk>", 0.0},
                            {"a", -1.0},
                            {"aa", -1.2},
                            {"aaaa", -1.9},
                            {"b", -2.0},
                            {"\u00e9\u00e9", -1.0}});
  const auto unigram = [&](bool byte_fallback) {
    Json json = {{"version", "1.0"},
                 {"model", {{"type", "Unigram"}, {"vocab", vocab}, {"unk_id", 0}}}};
    json["model"]["byte_fallback"] = byte_fallback;
    return json;
  };
  const Json some_bytes = unigram(true);
  for (const std::string& token : with_fallback_tokens({})) vocab.push_back({token, -20.0});
  return {{"unigram", unigram(false)},
          {"unigram with some bytes", some_bytes},
          {"unigram with bytes", unigram(true)}};
}

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds = bpe_kinds();
  for (Kind& kind : unigram_kinds()) kinds.push_back(std::move(kind));
  return kinds;
}

std::string repeated(const std::string& text, size_t times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

// Runs of one part each, so that there are long words, long unknown stretches and long spaces.
std::string random_text(std::mt19937_64& random) {
  static const Tokens kParts = {
      "a", "b", "ab", " ", "<mask>", "\u00e9", "x", "<unk>", "<0x61>", "\u2581"};
  std::string text;
  for (uint64_t runs = 1 + random() % 4; runs > 0; --runs) {
    text += repeated(kParts[random() % kParts.size()], 1 + random() % 120);
  }
  return text;
}

TEST(TokenLimit, ChangesNothingThatFits) {
  std::mt19937_64 random(dms::testing_support::seed());
  for (const Kind& kind : all_kinds()) {
    const Tokenizer tokenizer = parsed(kind.json);
    for (int trial = 0; trial < 60; ++trial) {
      const std::string text = random_text(random);
      const std::vector<int32_t> all = tokenizer.encode(text, false);
      for (int64_t most = 0; most < std::ssize(all) + 3; most += 1 + most / 8) {
        const std::vector<int32_t> some = tokenizer.encode(text, false, most);
        if (std::ssize(all) <= most) {
          ASSERT_EQ(some, all) << kind.name << " " << most << ": " << text;
        } else {
          ASSERT_GT(std::ssize(some), most) << kind.name << ": " << text;
        }
      }
      ASSERT_EQ(tokenizer.encode(text, false, std::ssize(all)), all) << kind.name << ": " << text;
    }
  }
}

// One word whose every stretch would merge or compete with the next.
TEST(TokenLimit, StopsInsideOfAWord) {
  constexpr int64_t kMost = 100;
  const std::string word(8'000'000, 'a');
  for (const Kind& kind : all_kinds()) {
    if (kind.name == "prefix" || kind.name == "unk without a name") continue;
    const Tokenizer tokenizer = parsed(kind.json);
    tokenizer.encode("aab", false);  // tables that are made once
    std::vector<int32_t> ids;
    const int64_t peak = peak_of([&] { ids = tokenizer.encode(word, false, kMost); });
    EXPECT_EQ(std::ssize(ids), kMost + 1) << kind.name;
    const bool copies_text = kind.name == "shrinking" || kind.name == "metaspace";
    EXPECT_LT(peak, copies_text ? 2 * std::ssize(word) : 2 << 20) << kind.name;
  }
}

// Spelled byte by byte, an unknown stretch is as long as a known one.
TEST(TokenLimit, StopsInsideOfUnknownCharacters) {
  constexpr int64_t kMost = 100;
  const std::string word = repeated("\u0416", 1'000'000);
  for (const Kind& kind : all_kinds()) {
    if (kind.name != "fallback" && kind.name != "unigram with bytes" && kind.name != "unk")
      continue;
    const Tokenizer tokenizer = parsed(kind.json);
    tokenizer.encode("aab", false);
    std::vector<int32_t> ids;
    const int64_t peak = peak_of([&] { ids = tokenizer.encode(word, false, kMost); });
    EXPECT_EQ(std::ssize(ids), kMost + 1) << kind.name;
    EXPECT_LT(peak, 2 << 20) << kind.name;
  }
}

// What becomes one token, however long it is, may fit.
TEST(TokenLimit, LetsFusedCharactersFit) {
  for (const Kind& kind : all_kinds()) {
    const bool fuses = kind.name == "fused unk" || kind.name == "unigram" ||
                       kind.name == "unigram with some bytes";
    if (!fuses) continue;
    const std::vector<int32_t> ids =
        parsed(kind.json).encode(repeated("\u0416", 100'000), false, 1);
    EXPECT_EQ(ids, std::vector<int32_t>{0}) << kind.name;
  }
  const Json literal = unigram_kinds().front().json;
  EXPECT_EQ(parsed(literal).encode(repeated("<unk>", 100'000), false, 1), std::vector<int32_t>{0});
}

// Where no stage takes text away, its length alone tells: not even its pieces are looked for.
TEST(TokenLimit, TellsByTheLengthAlone) {
  const std::string text(606, '\xff');  // of <mask>, the longest token, it would hold 101
  for (const bool lstrip : {false, true}) {
    Json json = all_bytes_json();
    json["added_tokens"][0]["lstrip"] = lstrip;  // takes any white space: no bound
    const std::vector<int32_t> ids = parsed(json).encode(text, false, 100);
    EXPECT_EQ(std::ssize(ids), 101);
    EXPECT_EQ(ids == std::vector<int32_t>(101), !lstrip);
    EXPECT_EQ(std::ssize(parsed(json).encode(repeated("<mask>", 100), false, 100)), 100);
  }
}

// Bytes without a token are dropped, be there as many as there may.
TEST(TokenLimit, CountsWhatHasAToken) {
  Json json = all_bytes_json();
  json["model"]["vocab"].erase("b");
  std::string text(10'002, 'b');
  text.front() = text.back() = 'a';
  EXPECT_EQ(parsed(json).encode(text, false, 1), std::vector<int32_t>{256});
}

TEST(TokenLimit, MergesInLittleMemory) {
  const Tokenizer tokenizer =
      parsed(tokenizer_json({"a", "aa", "aaaa"}, {{"a", "a"}, {"aa", "aa"}}));
  const std::string word(1 << 20, 'a');
  tokenizer.encode(word.substr(0, 100), false);
  // A symbol and its place in the heap, and the ids.
  EXPECT_LT(peak_of([&] { tokenizer.encode(word, false); }), 16 * std::ssize(word));
}

}  // namespace
}  // namespace dms::text
