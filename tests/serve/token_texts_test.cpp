#include "serve/token_texts.h"

#include <filesystem>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

const Tokenizer& demo() {
  static const Tokenizer tokenizer(std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo");
  return tokenizer;
}

int32_t id_of(const std::string& spelling) { return demo().id_of(spelling).value(); }

TEST(TokenTexts, AreWhatTokensAddToAText) {
  const TokenTexts texts(demo(), false);
  EXPECT_EQ(texts.text(id_of("Ġa")), " a");
  EXPECT_EQ(texts.text(id_of("<|end_of_text|>")), "<|end_of_text|>");
  EXPECT_EQ(TokenTexts(demo(), true).text(17), "token_id:17");
}

TEST(TokenTexts, ChatHasBytesAndAlternatives) {
  const TokenTexts texts(demo(), false);
  const int32_t a = id_of("a");
  const std::vector<TokenChoice> choices{{.chosen = {.id = a, .log_probability = -0.5F},
                                          .likeliest = {{.id = a, .log_probability = -0.5F}}}};
  EXPECT_EQ(json_text(texts.chat_logprobs(choices)),
            R"({"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":)"
            R"([{"token":"a","logprob":-0.5,"bytes":[97]}]}]})");
}

TEST(TokenTexts, CompletionsCountCharactersFromThePromptOn) {
  const TokenTexts texts(demo(), false);
  const int32_t a = id_of("a");
  const int32_t b = id_of("b");
  const std::vector<TokenChoice> prompt{{.chosen = {.id = b, .log_probability = -1},
                                         .likeliest = {{.id = a, .log_probability = -0.5F}}}};
  const std::vector<TokenChoice> answer{{.chosen = {.id = a, .log_probability = -2}}};
  EXPECT_EQ(json_text(texts.completion_logprobs(&a, prompt, answer)),
            R"({"text_offset":[0,1,2],"token_logprobs":[null,-1.0,-2.0],"tokens":["a","b","a"],)"
            R"("top_logprobs":[null,{"a":-0.5,"b":-1.0},{"a":-2.0}]})");
}

TEST(TokenTexts, PromptsHaveRanksAndNothingForTheFirst) {
  const TokenTexts texts(demo(), false);
  const int32_t a = id_of("a");
  const int32_t b = id_of("b");
  const std::vector<TokenChoice> prompt{{.chosen = {.id = b, .log_probability = -1},
                                         .likeliest = {{.id = a, .log_probability = -0.5F}}}};
  const OutJson json = texts.prompt_logprobs(prompt);
  EXPECT_TRUE(json[0].is_null());
  EXPECT_EQ(json[1][std::to_string(a)]["rank"], 1);
  EXPECT_TRUE(json[1][std::to_string(b)]["rank"].is_null());
  EXPECT_EQ(json[1][std::to_string(b)]["decoded_token"], "b");
}

TEST(TokenTexts, LogarithmsAreNumbersThatJsonKnows) {
  EXPECT_EQ(finite_logprob(-std::numeric_limits<float>::infinity()), -9999.0);
  EXPECT_EQ(finite_logprob(std::numeric_limits<float>::quiet_NaN()), -9999.0);
  EXPECT_EQ(finite_logprob(-1.5F), -1.5);
}

}  // namespace
}  // namespace dms::serve
