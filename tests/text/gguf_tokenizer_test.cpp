#include "text/gguf_tokenizer.h"

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "text/score_merges.h"
#include "text/tokenizer.h"

namespace dms::text {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using Ids = std::vector<int32_t>;

/// "<s>", "</s>", "<think>", the bytes of "abc 12" in the byte alphabet, and two merges.
Json byte_level() {
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", "smollm"},
          {"tokenizer.ggml.tokens",
           {"<s>", "</s>", "<think>", "a", "b", "c", "\u0120", "1", "2", "ab", "\u0120ab"}},
          {"tokenizer.ggml.token_type", {3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1}},
          {"tokenizer.ggml.merges", {"a b", "\u0120 ab"}},
          {"tokenizer.ggml.bos_token_id", 0},
          {"tokenizer.ggml.eos_token_id", 1},
          {"tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}"}};
}

Json sentence_piece() {
  return {{"tokenizer.ggml.model", "llama"},
          {"tokenizer.ggml.tokens",
           {"<unk>",
            "<s>",
            "</s>",
            "<0x0A>",
            "<0xC3>",
            "<0xA4>",
            "\u2581",
            "a",
            "b",
            "ab",
            "\u2581a",
            "\u2581ab"}},
          {"tokenizer.ggml.scores", {0, 0, 0, 0, 0, 0, -9, -8, -7, -3, -2, -1}},
          {"tokenizer.ggml.token_type", {2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1}},
          {"tokenizer.ggml.unknown_token_id", 0},
          {"tokenizer.ggml.bos_token_id", 1},
          {"tokenizer.ggml.eos_token_id", 2}};
}

Ids encoded(const Json& metadata, const std::string& text, bool special = false) {
  return Tokenizer::from_gguf(metadata, "m.gguf").encode(text, special);
}

TEST(GgufTokenizer, OfBytesCutsAndMergesAsItsNameSays) {
  Json metadata = byte_level();
  const Tokenizer tokenizer = Tokenizer::from_gguf(metadata, "m.gguf");
  EXPECT_EQ(tokenizer.encode("ab ab c12", true), (Ids{9, 10, 6, 5, 7, 8}));
  EXPECT_EQ(tokenizer.encode("<s>ab<think></s>", true), (Ids{0, 9, 2, 1}));
  EXPECT_EQ(tokenizer.decode(Ids{0, 9, 10, 2, 1}, true), "ab ab<think>");
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  metadata["tokenizer.ggml.add_bos_token"] = true;
  metadata["tokenizer.ggml.add_eos_token"] = true;
  EXPECT_EQ(encoded(metadata, "a", true), (Ids{0, 3, 1}));
  EXPECT_EQ(encoded(metadata, "a", false), (Ids{3}));
}

TEST(GgufTokenizer, OfLlama3PutsABeginningWhereTheFileIsSilent) {
  Json metadata = byte_level();
  metadata["tokenizer.ggml.pre"] = "llama-bpe";
  EXPECT_EQ(encoded(metadata, "ab", true), (Ids{0, 9}));
  metadata["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_EQ(encoded(metadata, "ab", true), (Ids{9}));
}

TEST(GgufTokenizer, OfScoresMergesTheBestFirstAndFallsBackToBytes) {
  Json metadata = sentence_piece();
  const Tokenizer tokenizer = Tokenizer::from_gguf(metadata, "m.gguf");
  EXPECT_EQ(tokenizer.encode("ab", true), (Ids{1, 11}));
  EXPECT_EQ(tokenizer.encode("abab \n", false), (Ids{11, 9, 6, 3}));
  EXPECT_EQ(tokenizer.encode("\u00e4", false), (Ids{6, 4, 5}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab \u00e4b", true), true), "ab \u00e4b");
  metadata["tokenizer.ggml.add_space_prefix"] = false;
  metadata["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_EQ(encoded(metadata, "ab", true), (Ids{9}));
}

TEST(GgufTokenizer, TokenGivenTwiceIsTheLastOne) {
  Json metadata = byte_level();
  metadata["tokenizer.ggml.tokens"][2] = "ab";  // as token 9
  EXPECT_EQ(encoded(metadata, "ab"), (Ids{9}));
}

TEST(GgufTokenizer, TemplateSeesTheFilesSpecialTokens) {
  const auto loaded = gguf_chat_template(byte_level(), "m.gguf");
  ASSERT_TRUE(loaded.has_value());
  ChatRequest request{.special_tokens = loaded->special_tokens};
  request.messages.push_back({{"role", "user"}, {"content", "hi"}});
  EXPECT_EQ(loaded->chat_template.render(request), "<s>hi");
  EXPECT_FALSE(gguf_chat_template(sentence_piece(), "m.gguf").has_value());
  EXPECT_FALSE(has_gguf_tokenizer(Json::object()));
}

TEST(GgufTokenizer, ToolsMayHaveATemplateOfTheirOwn) {
  Json metadata = byte_level();
  EXPECT_FALSE(gguf_chat_template(metadata, "m.gguf")->tool_template.has_value());
  metadata["tokenizer.chat_template.tool_use"] = "{{ bos_token }}tools";
  metadata["tokenizer.chat_template.rag"] = "{% not read";
  const auto loaded = gguf_chat_template(metadata, "m.gguf");
  ASSERT_TRUE(loaded->tool_template.has_value());
  EXPECT_EQ(loaded->tool_template->render({.special_tokens = loaded->special_tokens}), "<s>tools");
  EXPECT_EQ(loaded->chat_template.source(), metadata["tokenizer.chat_template"].get<std::string>());
  metadata.erase("tokenizer.chat_template");
  EXPECT_EQ(gguf_chat_template(metadata, "m.gguf")->chat_template.source(), "{{ bos_token }}tools")
      << "the only one there is";
}

TEST(ScoreMerges, AreOrderedByScoreThenByTheLongerLeftPart) {
  const std::vector<Merge> merges = merges_by_score(
      {"a", "b", "ab", "ba", "aba", "\u00e4", "\u00e4a"}, {0, 0, -2, -1, -1, 0, -3});
  std::vector<std::string> text;
  for (const Merge& merge : merges) text.push_back(merge.left + "+" + merge.right);
  EXPECT_EQ(text, (std::vector<std::string>{"ab+a", "a+ba", "b+a", "a+b", "\u00e4+a"}));
}

struct Case {
  std::string name;
  std::function<void(Json&)> bend;
  std::vector<std::string> words;
};

class BadGgufTokenizer : public ::testing::TestWithParam<Case> {};

TEST_P(BadGgufTokenizer, IsRefusedByName) {
  Json metadata = byte_level();
  if (GetParam().name.starts_with("Score")) metadata = sentence_piece();
  GetParam().bend(metadata);
  const std::string message = input_error([&] {
    Tokenizer::from_gguf(metadata, "m.gguf");
    gguf_chat_template(metadata, "m.gguf");
  });
  expect_parts(message, {"m.gguf"});
  for (const std::string& word : GetParam().words) expect_parts(message, {word});
}

Case sets(const char* name, const char* key, Json value, std::vector<std::string> words) {
  words.emplace_back(key);
  return {name, [=](Json& m) { m[std::string("tokenizer.") + key] = value; }, std::move(words)};
}

INSTANTIATE_TEST_SUITE_P(
    Every,
    BadGgufTokenizer,
    ::testing::Values(
        sets("Model", "ggml.model", "bert", {"'bert'", "gpt2"}),
        sets("ModelKind", "ggml.model", 3, {"got 3", "a string"}),
        sets("Pre", "ggml.pre", "viking", {"unknown pre-tokenizer", "'viking'", "qwen2"}),
        sets("Tokens", "ggml.tokens", "abc", {"got \"abc\"", "an array"}),
        sets("TokenKind", "ggml.tokens", Json::array({"a", 7}), {"got 7", "strings"}),
        sets("NoTokens", "ggml.tokens", Json::array(), {"got 0"}),
        sets("Types", "ggml.token_type", Json::array({1}), {"wrong length", "got 1", "11"}),
        sets("TypeValue",
             "ggml.token_type",
             Json::array({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 77}),
             {"got 77", "0 to 6"}),
        sets("Bos", "ggml.bos_token_id", 11, {"got 11", "0 to 10"}),
        sets("BosKind", "ggml.bos_token_id", "<s>", {"an integer"}),
        sets("AddBos", "ggml.add_bos_token", 1, {"true or false"}),
        sets("MergesKind", "ggml.merges", 1, {"an array"}),
        Case{"NoMerges", [](Json& m) { m.erase("tokenizer.ggml.merges"); }, {"merges", "missing"}},
        Case{"Merge", [](Json& m) { m["tokenizer.ggml.merges"][0] = "a z"; }, {"merges", "'z'"}},
        sets("Template", "chat_template", 7, {"got 7", "a string"}),
        sets("TemplateText", "chat_template", "{% if %}", {}),
        sets("TemplateLength", "chat_template", std::string(2'000'000, ' '), {"too long"}),
        sets("ScoreKind", "ggml.scores", Json::array({"0"}), {"wrong length"}),
        Case{"ScoreNaN", [](Json& m) { m["tokenizer.ggml.scores"][3] = NAN; }, {"scores", "NaN"}},
        Case{"ScoreMissing", [](Json& m) { m.erase("tokenizer.ggml.scores"); }, {"scores"}},
        Case{"ScoreToken",
             [](Json& m) { m["tokenizer.ggml.tokens"][7] = std::string(257, 'a'); },
             {"257 bytes", "at most 256"}}),
    [](const auto& item) { return item.param.name; });

}  // namespace
}  // namespace dms::text
