#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using testing_support::parsed;
using testing_support::tokenizer_json;

using Ids = std::vector<int32_t>;

Json typed(const char* type, const Json& fields = Json::object()) {
  Json json = {{"type", type}};
  json.update(fields);
  return json;
}

// F0 9F | 98 80, and a byte that is never one of a character.
Tokenizer byte_level() {
  Json json =
      tokenizer_json({"\u00f0\u0141", "\u013a\u0122", "a", "\u0120", "\u00ff", "<s>", "\u00f0"});
  json["decoder"] = typed("ByteLevel");
  json["added_tokens"] = {{{"id", 5}, {"content", "<s>"}, {"special", true}}};
  return parsed(json);
}

// Llama 2's decoder.
Tokenizer sentencepiece() {
  std::vector<std::string> tokens = {"\u2581Hello", "\u2581world", "\u2581", "!", "<s>"};
  for (const char* byte : {"<0xE4>", "<0xB8>", "<0xAD>", "<0xFF>"}) tokens.emplace_back(byte);
  Json json = tokenizer_json(tokens);
  json["added_tokens"] = {{{"id", 4}, {"content", "<s>"}, {"special", true}}};
  const Json to_space = {{"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  const Json first_space = {{"content", " "}, {"start", 1}, {"stop", 0}};
  json["decoder"] = typed("Sequence",
                          {{"decoders",
                            {typed("Replace", to_space),
                             typed("ByteFallback"),
                             typed("Fuse"),
                             typed("Strip", first_space)}}});
  return parsed(json);
}

Tokenizer metaspace() {
  Json json = tokenizer_json({"\u2581Hello", "\u2581world", "\u2581", "!", "<s>"});
  json["decoder"] = typed("Metaspace", {{"replacement", "\u2581"}});
  json["added_tokens"] = {{{"id", 4}, {"content", "<s>"}, {"special", true}}};
  return parsed(json);
}

std::string streamed(StreamDecoder& stream, std::span<const int32_t> ids) {
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

TEST(StreamDecoder, NeverEmitsHalfACharacter) {
  const Tokenizer tokenizer = byte_level();
  StreamDecoder decoder(tokenizer, false);
  EXPECT_EQ(decoder.push(0), "");
  EXPECT_EQ(decoder.push(1), "\U0001F600");
  EXPECT_EQ(decoder.push(3), " ");
  EXPECT_EQ(decoder.push(0), "");
  EXPECT_EQ(decoder.finish(), "\ufffd");
  EXPECT_EQ(decoder.push(2), "a");
  EXPECT_EQ(decoder.finish(), "");
}

// What was said up to a split, and what comes after it, are the whole, wherever it is split.
void expect_continuations(const Tokenizer& tokenizer, const Ids& ids) {
  for (const bool skip : {true, false}) {
    const std::string whole = tokenizer.decode(ids, skip);
    for (size_t split = 0; split <= ids.size(); ++split) {
      const auto before = std::span(ids).first(split);
      StreamDecoder prompt(tokenizer, skip);
      std::string said;
      for (const int32_t id : before) said += prompt.push(id);
      StreamDecoder stream(tokenizer, skip, before);
      EXPECT_EQ(said + streamed(stream, std::span(ids).subspan(split)), whole)
          << "split at " << split << ", skip " << skip;
    }
  }
}

TEST(StreamDecoder, GoesOnAfterAPrompt) {
  expect_continuations(byte_level(), {2, 5, 3, 0, 5, 1, 4, 2, 0, 4, 1, 6, 2, 3});
  expect_continuations(sentencepiece(), {4, 0, 1, 4, 2, 2, 1, 3, 5, 4, 6, 7, 5, 6, 7, 0, 2});
  expect_continuations(metaspace(), {4, 4, 0, 1, 2, 2, 4, 1, 3, 0});
}

TEST(StreamDecoder, KeepsTheSpaceOfAContinuation) {
  const Tokenizer tokenizer = sentencepiece();
  const Ids prompt = {4, 0};
  StreamDecoder stream(tokenizer, true, prompt);
  EXPECT_EQ(stream.push(1), " world");
  const Ids nothing = {4};  // the text begins with what comes
  StreamDecoder first(tokenizer, true, nothing);
  EXPECT_EQ(first.push(1), "world");
}

TEST(StreamDecoder, GoesOnWithinALongRunOfBytes) {
  const Tokenizer tokenizer = sentencepiece();
  Ids ids = {0};
  for (int i = 0; i < 50; ++i) ids.insert(ids.end(), {5, 6, 7});
  for (const size_t split : {148u, 149u, 150u, 151u}) {
    StreamDecoder stream(tokenizer, true, std::span(ids).first(split));
    const size_t whole = (split - 1) / 3;  // characters that the prompt completed
    std::string rest;
    for (size_t i = whole; i < 50; ++i) rest += "\u4e2d";
    EXPECT_EQ(streamed(stream, std::span(ids).subspan(split)), rest) << split;
  }
}

// However many tokens make no text or no whole character, a push decodes a few of them.
void expect_bounded(const Tokenizer& tokenizer, bool skip, const Ids& repeated) {
  StreamDecoder stream(tokenizer, skip);
  Ids ids = {0};
  while (ids.size() < 2000) ids.insert(ids.end(), repeated.begin(), repeated.end());
  std::string text;
  for (const int32_t id : ids) {
    text += stream.push(id);
    ASSERT_LE(stream.held(), 128u);
  }
  EXPECT_EQ(text + stream.finish(), tokenizer.decode(ids, skip));
}

TEST(StreamDecoder, HoldsAFewTokensBackAtMost) {
  expect_bounded(byte_level(), true, {5});
  expect_bounded(byte_level(), false, {5});
  expect_bounded(byte_level(), true, {4});
  expect_bounded(byte_level(), true, {0, 4});
  expect_bounded(byte_level(), true, {0, 5});
  expect_bounded(byte_level(), true, {-1, 99});
  expect_bounded(sentencepiece(), true, {4});
  expect_bounded(sentencepiece(), true, {8});
  expect_bounded(sentencepiece(), true, {5});
  expect_bounded(metaspace(), true, {2, 4});
  Json empty = tokenizer_json({"a", ""});
  empty["decoder"] = typed("Fuse");
  expect_bounded(parsed(empty), true, {1});
}

}  // namespace
}  // namespace dms::text
