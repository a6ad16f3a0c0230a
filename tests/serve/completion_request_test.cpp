#include "serve/completion_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/facts.h"

namespace dms::serve {
namespace {

using testing_support::facts;
using testing_support::refusal;
using Ids = std::vector<int32_t>;

CompletionRequest parse(const std::string& fields) {
  std::string body = "{";
  body += fields;
  body += "}";
  return parse_completion_request(body, facts());
}

TEST(CompletionRequest, APromptIsTextOrIdsOneOrSeveral) {
  using testing::ElementsAre;
  EXPECT_THAT(parse(R"("prompt": "a")").prompts, ElementsAre(Prompt("a")));
  EXPECT_THAT(parse(R"("prompt": ["a", "b"])").prompts, ElementsAre(Prompt("a"), Prompt("b")));
  EXPECT_THAT(parse(R"("prompt": [1, 2])").prompts, ElementsAre(Prompt(Ids{1, 2})));
  EXPECT_THAT(parse(R"("prompt": [[1], [2, 3]])").prompts,
              ElementsAre(Prompt(Ids{1}), Prompt(Ids{2, 3})));
}

TEST(CompletionRequest, SixteenTokensUnlessItSaysSo) {
  EXPECT_EQ(parse(R"("prompt": "a")").common.max_tokens, 16);
  EXPECT_EQ(parse(R"("prompt": "a", "max_tokens": 0)").common.max_tokens, 0);
}

TEST(CompletionRequest, AnEchoIsScoredWithTheAnswer) {
  const SamplingParams plain = parse(R"("prompt": "a", "logprobs": 2)").common.sampling;
  EXPECT_EQ(plain.log_probabilities, 2);
  EXPECT_EQ(plain.prompt_log_probabilities, -1);
  const SamplingParams echoed =
      parse(R"("prompt": "a", "logprobs": 2, "echo": true)").common.sampling;
  EXPECT_EQ(echoed.prompt_log_probabilities, 2);
}

TEST(CompletionRequest, RefusesWhatIsWrongAndNamesIt) {
  std::string many = "\"prompt\": [";
  for (int i = 0; i < 300; ++i) many += "\"a\",";
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("model": "demo")", "prompt"},
      {R"("prompt": 5)", "prompt"},
      {R"("prompt": {})", "prompt"},
      {R"("prompt": [1, "a"])", "prompt[1]"},
      {R"("prompt": ["a", 1])", "prompt"},
      {R"("prompt": [100])", "prompt[0]"},
      {R"("prompt": [[1], [-1]])", "prompt[0]"},
      {R"("prompt": [[[1]]])", "prompt[0]"},
      {R"("prompt": [1.5])", "prompt[0]"},
      {many + "\"a\"]", "prompt"},
      {R"("prompt": "a", "logprobs": true)", "logprobs"},
      {R"("prompt": "a", "logprobs": 21)", "logprobs"},
      {R"("prompt": "a", "echo": "yes")", "echo"},
  };
  for (const auto& [fields, param] : cases) {
    SCOPED_TRACE(fields.substr(0, 80));
    const ApiError error = refusal([&fields] { parse(fields); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
  }
}

}  // namespace
}  // namespace dms::serve
