// The files beside tokenizer.json. test_tokenizer_folders.py compares with AutoTokenizer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using dms::testing_support::TempFolder;
using testing::ElementsAre;
using testing_support::tokenizer_json;

class TokenizerFolder : public testing::Test {
 protected:
  TokenizerFolder() {
    Json json = tokenizer_json({"a", "b"});
    json["added_tokens"] = {{{"id", 2}, {"content", "<s>"}, {"special", true}},
                            {{"id", 3}, {"content", "xy"}, {"special", false}}};
    write("tokenizer.json", json.dump());
  }

  void write(const char* name, const std::string& text) { folder_.write(name, text); }
  void write(const char* name, const Json& json) { write(name, json.dump()); }
  Tokenizer load() const { return Tokenizer::load_folder(folder_.path()); }

  TempFolder folder_;
};

TEST_F(TokenizerFolder, NeedsNothingButTokenizerJson) {
  const Tokenizer tokenizer = load();
  EXPECT_THAT(tokenizer.encode("a<s>xy", false), ElementsAre(0, 2, 3));
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
  EXPECT_EQ(tokenizer.bos_id(), std::nullopt);
}

TEST_F(TokenizerFolder, AddsTokensInTheirOrder) {
  write("tokenizer_config.json",
        {{"added_tokens_decoder",
          {{"90", {{"content", "<late>"}, {"special", true}}},
           {"7", {{"content", "<early>"}, {"special", true}}},
           {"2", {{"content", "<s>"}, {"special", true}}}}},
         {"eos_token", "<e>"},
         {"extra_special_tokens", {"<x>"}}});
  const Tokenizer tokenizer = load();
  EXPECT_THAT(tokenizer.encode("<s><early><late><e><x>", false), ElementsAre(2, 4, 5, 6, 7));
  EXPECT_EQ(tokenizer.eos_id(), 6);
  EXPECT_EQ(tokenizer.vocab_size(), 8);
  EXPECT_EQ(tokenizer.id_limit(), 8);
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{0, 4, 6}, true), "a");
}

TEST_F(TokenizerFolder, TakesNamedTokensInEitherForm) {
  write("tokenizer_config.json",
        {{"eos_token", {{"__type", "AddedToken"}, {"content", "b"}, {"lstrip", true}}},
         {"bos_token", "<s>"},
         {"image_token", "<image>"}});
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.bos_id(), 2);
  EXPECT_EQ(tokenizer.special_text(1), "b");
  EXPECT_EQ(tokenizer.token_id("<image>"), 4);
}

TEST_F(TokenizerFolder, TakesFlagsFromTheConfig) {
  write("tokenizer_config.json",
        {{"added_tokens_decoder",
          {{"2", {{"content", "<s>"}, {"rstrip", true}, {"special", false}}},
           {"3", {{"content", "xy"}, {"normalized", false}, {"special", true}}}}}});
  const Tokenizer tokenizer = load();
  EXPECT_TRUE(tokenizer.is_special(2)) << "what is special stays so";
  EXPECT_TRUE(tokenizer.is_special(3));
  EXPECT_THAT(tokenizer.encode("<s>   axy", false), ElementsAre(2, 0, 3));
}

TEST_F(TokenizerFolder, ReadsTheOlderFilesOnlyWithoutAListInTheConfig) {
  write("special_tokens_map.json", {{"eos_token", {{"content", "<e>"}}}});
  write("added_tokens.json", {{"<later>", 12}, {"<e>", 11}});
  EXPECT_EQ(load().eos_id(), 4);
  EXPECT_EQ(load().token_id("<later>"), 5);
  write("tokenizer_config.json", {{"added_tokens_decoder", Json::object()}});
  EXPECT_EQ(load().eos_id(), std::nullopt);
  EXPECT_EQ(load().token_id("<later>"), std::nullopt);
}

TEST_F(TokenizerFolder, KeepsTheOrderOfKeysWherePythonsNumbersStand) {
  write("tokenizer_config.json", std::string(R"({"scale": NaN, "z_token": "<z>", "a_token": "<a>",
                        "extra_special_tokens": {"y_token": "<y>", "b_token": "<b>"}})"));
  EXPECT_THAT(load().encode("<z><a><y><b>", false), ElementsAre(4, 5, 6, 7));
}

TEST_F(TokenizerFolder, NamesWhatIsBroken) {
  struct Case {
    const char* file;
    std::string text;
    std::string named;
  };
  const std::string config = "tokenizer_config.json";
  const Case cases[] = {
      {"tokenizer_config.json", "[]", "a JSON object"},
      {"tokenizer_config.json", "{", "malformed JSON"},
      {"tokenizer_config.json", R"({"eos_token": 5})", "eos_token"},
      {"tokenizer_config.json", R"({"eos_token": {"lstrip": true}})", "eos_token: content"},
      {"tokenizer_config.json", R"({"eos_token": {"content": "x", "lstrip": 1}})", "lstrip"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": [1]})", "added_tokens_decoder"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})", "'x'"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"-1": {"content": "y"}}})", "'-1'"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"1": "y"}})", "a JSON object"},
      {"tokenizer_config.json", R"({"extra_special_tokens": [7]})", "extra_special_tokens"},
      {"tokenizer_config.json", R"({"additional_special_tokens": "x"})", "a list of tokens"},
      {"special_tokens_map.json", R"({"pad_token": []})", "pad_token"},
      {"added_tokens.json", R"({"x": "y"})", "x"},
      {"added_tokens.json", R"({"x": -4})", "x"},
  };
  for (const Case& broken : cases) {
    write(broken.file, broken.text);
    expect_parts(input_error([&] { load(); }), {broken.file, broken.named});
    std::filesystem::remove(folder_.path() / broken.file);
  }
  const std::string long_token(5000, 'x');
  write("tokenizer_config.json", {{"eos_token", long_token}});
  expect_parts(input_error([&] { load(); }), {"added token is too long"});
  std::filesystem::remove(folder_.path() / "tokenizer.json");
  expect_parts(input_error([&] { load(); }), {"tokenizer.json"});
}

}  // namespace
}  // namespace dms::text
