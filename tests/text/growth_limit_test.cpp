// A small tokenizer.json whose steps would blow a short text up is refused, and no sane one is.

#include "text/growth_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using testing_support::parsed;
using testing_support::tokenizer_json;

// 2^20 of what a limit of some hundred bytes must stop; a megabyte harms nobody where it does not.
constexpr int kDoublings = 20;

/// `steps`, kDoublings times, as a Sequence whose list has this name.
Json sequence(const char* list, const Json& steps) {
  Json all = Json::array();
  for (int i = 0; i < kDoublings; ++i) all.insert(all.end(), steps.begin(), steps.end());
  return {{"type", "Sequence"}, {list, all}};
}

Json replace(const char* pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
}

Json with(const char* key, const Json& value) {
  Json json = tokenizer_json({"a", "b", "<s>", "\u0120", "<0x61>", "<0x78>", "\u2581"});
  json[key] = value;
  return json;
}

std::string encode_error(const Json& json, const std::string& text) {
  const Tokenizer tokenizer = parsed(json);
  return input_error([&] { tokenizer.encode(text, true); });
}

TEST(GrowthLimit, NamesTheStepsAndBothSizes) {
  const GrowthLimit limit("x.json: decoder", 10);
  limit.check(416);
  expect_parts(input_error([&] { limit.check(417); }),
               {"x.json: decoder", "a text of 10 bytes", "got 417", "expected at most 416"});
  const GrowthLimit longest("x", size_t{1} << 40);
  longest.check((size_t{1} << 31) - 1);
  expect_parts(input_error([&] { longest.check(size_t{1} << 31); }), {"at most 2147483647"});
}

TEST(GrowthLimit, StopsNormalizersThatDoubleTheText) {
  const Json doubling =
      with("normalizer", sequence("normalizers", Json::array({replace("a", "aa")})));
  expect_parts(encode_error(doubling, "a"), {"test.json: normalizer", "too long", "at most 272"});
  const Json prepend = {{"type", "Prepend"}, {"prepend", std::string(1000, 'a')}};
  expect_parts(encode_error(with("normalizer", prepend), "a"), {"test.json: normalizer"});
}

TEST(GrowthLimit, CountsAllSectionsOfATextTogether) {
  Json json = with("normalizer", {{"type", "Prepend"}, {"prepend", std::string(200, 'a')}});
  json["added_tokens"] = {{{"id", 2}, {"content", "<s>"}, {"special", true}}};
  EXPECT_EQ(parsed(json).encode("b<s>", false).size(), 202u);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "b<s>";
  expect_parts(encode_error(json, text), {"test.json", "a text of 400 bytes", "at most 6656"});
}

TEST(GrowthLimit, StopsAddedTokensThatTheNormalizerBlowsUp) {
  Json json = with("normalizer", sequence("normalizers", Json::array({replace("z", "zz")})));
  json["added_tokens"] = {{{"id", 7}, {"content", "z"}, {"normalized", true}}};
  expect_parts(input_error([&] { parsed(json); }), {"test.json: normalizer", "too long"});
}

TEST(GrowthLimit, StopsPreTokenizersThatDoubleTheText) {
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json meta = {{"type", "Metaspace"}, {"replacement", "x"}};
  const Json apart = {{"type", "Split"}, {"pattern", {{"Regex", "."}}}, {"behavior", "Isolated"}};
  const Json other = {{"type", "Metaspace"}, {"replacement", "y"}};
  for (const Json& steps : {Json::array({byte_level}), Json::array({meta, apart, other, apart})}) {
    const Json json = with("pre_tokenizer", sequence("pretokenizers", steps));
    expect_parts(encode_error(json, " a"), {"test.json: pre_tokenizer", "too long"});
  }
}

TEST(GrowthLimit, StopsDecodersThatDoubleTheText) {
  const std::vector<int32_t> ids = {0, 0};
  for (const char* pattern : {"a", ""}) {
    const Json steps = Json::array({replace(pattern, pattern[0] == 'a' ? "aa" : "b")});
    const Tokenizer tokenizer = parsed(with("decoder", sequence("decoders", steps)));
    expect_parts(input_error([&] { tokenizer.decode(ids, false); }),
                 {"test.json: decoder", "a text of 2 bytes", "at most 288"});
  }
}

TEST(GrowthLimit, RefusesTemplatesThatRepeatTheTextOrAddTooMuch) {
  const Json text = {{"Sequence", {{"id", "A"}}}};
  const Json special = {{"SpecialToken", {{"id", "<s>"}}}};
  const auto error = [&](const Json& single, size_t ids, const char* list) {
    Json json = with("post_processor", nullptr);
    const Json one = {{"type", "TemplateProcessing"},
                      {"single", single},
                      {"special_tokens", {{"<s>", {{"ids", std::vector<int32_t>(ids, 2)}}}}}};
    json["post_processor"] = list == nullptr ? one : sequence(list, Json::array({one}));
    return input_error([&] { parsed(json); });
  };
  for (const char* list : {static_cast<const char*>(nullptr), "processors"}) {
    expect_parts(error({text, text}, 1, list),
                 {"test.json: post_processor: TemplateProcessing", "Sequence A more than once"});
    expect_parts(error({special, text}, 1025, list),
                 {"TemplateProcessing", "too many special tokens", "at most 1024"});
  }
  expect_parts(error({special, text, special}, 513, nullptr), {"got 1026", "at most 1024"});
  expect_parts(error({special, text}, 60, "processors"), {"got 1080", "at most 1024"});
}

TEST(GrowthLimit, RefusesAffixesThatEachCharacterWouldRepeat) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    Json json = tokenizer_json({"a", "<0x61>", "<0x78>"});
    json["model"]["byte_fallback"] = true;
    json["model"][key] = std::string(17, 'x');
    expect_parts(input_error([&] { parsed(json); }),
                 {"test.json: model: " + std::string(key), "got 17 bytes", "at most 16"});
    json["model"][key] = std::string(16, 'x');
    EXPECT_NO_THROW(parsed(json)) << key;
  }
}

TEST(GrowthLimit, LeavesTheGrowthOfSaneTokenizersAlone) {
  Json json = with("normalizer", sequence("normalizers", Json::array({replace(" ", "\u2581")})));
  json["normalizer"]["normalizers"].push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  json["pre_tokenizer"] = {{"type", "ByteLevel"}};
  json["decoder"] = {{"type", "ByteLevel"}};
  const Tokenizer tokenizer = parsed(json);
  for (const size_t spaces : {1u, 100u, 100'000u}) {
    EXPECT_NO_THROW(tokenizer.encode(std::string(spaces, ' '), true)) << spaces;
    EXPECT_NO_THROW(tokenizer.decode(std::vector<int32_t>(spaces, 3), true)) << spaces;
  }
}

}  // namespace
}  // namespace dms::text
