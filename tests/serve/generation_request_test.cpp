#include "serve/generation_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/facts.h"

namespace dms::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing_support::facts;
using testing_support::refusal;

GenerationRequest read(const std::string& body, const ModelFacts& model = facts()) {
  const OrderedJson json = parse_body(body, model.limits);
  return read_generation_request(Fields(json, ""), model);
}

TEST(GenerationRequest, WhatIsLeftOpenIsOpenAis) {
  const GenerationRequest request = read("{}");
  EXPECT_EQ(request.model, "demo");
  EXPECT_EQ(request.sampling.temperature, 1.0);
  EXPECT_EQ(request.sampling.top_p, 1.0);
  EXPECT_EQ(request.answers, 1);
  EXPECT_FALSE(request.max_tokens);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.is_seeded);
  EXPECT_EQ(request.sampling.log_probabilities, -1);
  EXPECT_EQ(request.sampling.prompt_log_probabilities, -1);
}

TEST(GenerationRequest, WhatIsLeftOpenIsAsTheFolderRecommends) {
  ModelFacts model = facts();
  model.sampling = {.temperature = 0.6, .top_k = 20, .top_p = 0.95, .repetition_penalty = 1.1};
  const SamplingParams given = read(R"({"temperature": 0, "top_k": -1})", model).sampling;
  EXPECT_EQ(given.temperature, 0);
  EXPECT_EQ(given.top_k, 0);
  EXPECT_EQ(given.top_p, 0.95);
  EXPECT_EQ(given.repetition_penalty, 1.1);
}

TEST(GenerationRequest, NamesASlotOfThoseThereAre) {
  ModelFacts model = facts();
  model.slots = 3;
  EXPECT_EQ(read(R"({"id_slot": 2})", model).slot, 2);
  for (const char* any : {"{}", R"({"id_slot": -1})", R"({"id_slot": null})"}) {
    EXPECT_FALSE(read(any, model).slot) << any;
  }
  for (const char* bad : {"3", "-2", "1.5", "\"1\"", "true"}) {
    const std::string body = std::string(R"({"id_slot": )") + bad + "}";
    EXPECT_EQ(refusal([&] { read(body, model); }).param(), "id_slot") << bad;
  }
  EXPECT_EQ(refusal([] { read(R"({"id_slot": 0})"); }).param(), "id_slot") << "there are none";
}

TEST(GenerationRequest, ADocumentBringsItsPolicy) {
  EXPECT_EQ(read(R"({"dms": {"document": "book", "report": true}})").document, "book");
  EXPECT_EQ(refusal([] { read(R"({"dms": {"document": 5}})"); }).param(), "dms.document");
  const auto refused = [](const std::string& more) {
    const std::string body = R"({"dms": {"document": "book", )" + more + "}}";
    return refusal([&] { read(body); }).param();
  };
  EXPECT_EQ(refused(R"("policy": "none")"), "dms.policy");
  EXPECT_EQ(refused(R"("policy_args": {"cr": 8})"), "dms.policy_args");
  EXPECT_EQ(refused(R"("window": 5)"), "dms.window");
}

TEST(GenerationRequest, ReadsEveryField) {
  const GenerationRequest request = read(R"({
    "model": "alias", "temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125,
    "presence_penalty": 1, "frequency_penalty": -1.5, "repetition_penalty": 1.25, "seed": -1,
    "stop": ["a", "b"], "stop_token_ids": [3], "ignore_eos": true, "n": 3, "priority": 5,
    "logit_bias": {"7": -100, "9": 2.5}, "max_tokens": 9, "max_completion_tokens": 8,
    "stream": true, "stream_options": {"include_usage": true},
    "dms": {"policy": "random", "policy_args": {"cr": 8, "seed": "1"}, "window": 32, "speculate": 6,
            "report": true},
    "user": "somebody", "response_format": {"type": "text"}, "best_of": 3, "suffix": ""})");
  EXPECT_EQ(request.model, "alias");
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.25);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.min_p, 0.125);
  EXPECT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_EQ(request.sampling.frequency_penalty, -1.5);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.25);
  EXPECT_EQ(request.sampling.seed, ~uint64_t{0});
  EXPECT_TRUE(request.is_seeded);
  EXPECT_THAT(request.sampling.stop, ElementsAre("a", "b"));
  EXPECT_THAT(request.sampling.stop_ids, ElementsAre(3));
  EXPECT_TRUE(request.sampling.ignore_eos);
  EXPECT_THAT(request.sampling.logit_bias, ElementsAre(Pair(7, -100), Pair(9, 2.5)));
  EXPECT_EQ(request.answers, 3);
  EXPECT_EQ(request.priority, -5);
  EXPECT_EQ(request.max_tokens, 8);
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(request.cache.policy, "random");
  EXPECT_THAT(request.cache.policy_args, ElementsAre(Pair("cr", "8"), Pair("seed", "1")));
  EXPECT_EQ(request.cache.window_tokens, 32);
  EXPECT_EQ(request.sampling.speculate, 6);
  EXPECT_TRUE(request.reports_memory);
}

TEST(GenerationRequest, NullIsAsIfLeftOut) {
  const GenerationRequest request =
      read(R"({"model": null, "stop": null, "temperature": null, "logit_bias": null, "n": null,
               "suffix": null, "seed": null, "stream_options": null, "dms": null})");
  EXPECT_EQ(request.sampling.temperature, 1.0);
  EXPECT_TRUE(request.sampling.stop.empty());
  EXPECT_FALSE(request.is_seeded);
}

TEST(GenerationRequest, AnotherPolicyTakesNothingOfTheServersOwn) {
  ModelFacts model = facts();
  model.cache = {.policy = "streaming", .policy_args = {{"recent_size", "64"}}};
  EXPECT_THAT(read(R"({"dms": {"policy": "none"}})", model).cache.policy_args, testing::IsEmpty());
  EXPECT_THAT(read(R"({"dms": {"window": 5}})", model).cache.policy_args,
              ElementsAre(Pair("recent_size", "64")));
}

TEST(GenerationRequest, AnotherModelIsNotFound) {
  const ApiError error = refusal([] { read(R"({"model": "gpt"})"); });
  EXPECT_EQ(error.status(), 404);
  EXPECT_EQ(error.code(), "model_not_found");
  EXPECT_EQ(error.param(), "model");
}

TEST(GenerationRequest, RefusesWhatIsWrongAndNamesIt) {
  const std::string many_stops =
      R"(["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"])";
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({"temperature": -1})", "temperature"},
      {R"({"temperature": "hot"})", "temperature"},
      {R"({"temperature": NaN})", "temperature"},
      {R"({"top_p": 1.5})", "top_p"},
      {R"({"n": 0})", "n"},
      {R"({"n": 17})", "n"},
      {R"({"n": 1.5})", "n"},
      {R"({"n": 18446744073709551615})", "n"},
      {R"({"max_tokens": -1})", "max_tokens"},
      {R"({"max_tokens": 99999999999})", "max_tokens"},
      {R"({"seed": 1.5})", "seed"},
      {R"({"stop": [1]})", "stop"},
      {R"({"stop": ""})", "stop"},
      {R"({"stop": )" + many_stops + "}", "stop"},
      {R"({"stop": ")" + std::string(2000, 'x') + "\"}", "stop"},
      {R"({"stop_token_ids": [100]})", "stop_token_ids"},
      {R"({"logit_bias": {"100": 1}})", "logit_bias"},
      {R"({"logit_bias": {"x": 1}})", "logit_bias"},
      {R"({"logit_bias": {"1": 101}})", "logit_bias.1"},
      {R"({"logit_bias": {"1": null}})", "logit_bias.1"},
      {R"({"logit_bias": [1]})", "logit_bias"},
      {R"({"stream": 1})", "stream"},
      {R"({"stream_options": {}})", "stream_options"},
      {R"({"stream": true, "prompt_logprobs": 1})", "prompt_logprobs"},
      {R"({"suffix": "x"})", "suffix"},
      {R"({"best_of": 2})", "best_of"},
      {R"({"response_format": {"type": "xml"}})", "response_format.type"},
      {R"({"guided_regex": 3})", "guided_regex"},
      {R"({"dms": {"policy": "forced"}})", "dms.policy"},
      {R"({"dms": {"policy": "best"}})", "dms.policy"},
      {R"({"dms": {"file": "/etc/passwd"}})", "dms.file"},
      {R"({"dms": {"policy_args": {"cr": [1]}}})", "dms.policy_args.cr"},
      {R"({"dms": {"window": -1}})", "dms.window"},
      {R"({"dms": "none"})", "dms"},
      {R"({"model": 5})", "model"},
  };
  for (const auto& [body, param] : cases) {
    SCOPED_TRACE(body.substr(0, 80));
    const ApiError error = refusal([&body] { read(body); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
    EXPECT_THAT(error.what(), HasSubstr(param));
  }
}

TEST(RequestBody, RefusesWhatIsNoObjectOrTooMuchOfOne) {
  const std::string deep = std::string(100'000, '[');
  std::string wide = "{\"a\":[";
  for (int i = 0; i < 3'000'000; ++i) wide += "0,";
  for (const std::string& body : {std::string(),
                                  std::string("nonsense"),
                                  std::string("[]"),
                                  std::string("{\"a\":"),
                                  std::string("{\"a\":1}x"),
                                  std::string("\xff"),
                                  deep,
                                  wide + "0]}"}) {
    SCOPED_TRACE(body.substr(0, 20));
    EXPECT_EQ(refusal([&body] { parse_body(body, {}); }).status(), 400);
  }
}

}  // namespace
}  // namespace dms::serve
