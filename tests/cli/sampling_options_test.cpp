#include "cli/sampling_options.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_line.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What these arguments choose for a model that recommends sampling.
SamplingParams resolve(std::vector<std::string> arguments) {
  CommandLine line{"dms", "", ""};
  SamplingOptions options;
  add_sampling_options(line.app(), options);
  line.read(arguments);
  ModelInfo model;
  model.sampling = {.temperature = 0.6, .top_k = 20, .top_p = 0.95, .repetition_penalty = 1.1};
  return options.resolve(model);
}

TEST(SamplingOptions, TakeTheModelsRecommendation) {
  const SamplingParams params = resolve({});
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.repetition_penalty, 1.1);
  EXPECT_EQ(params.max_new_tokens, 128);
}

TEST(SamplingOptions, WhatIsGivenComesFirst) {
  const SamplingParams params = resolve({"--temperature", "1.5", "--top-k=0", "--top-k", "7"});
  EXPECT_EQ(params.temperature, 1.5);
  EXPECT_EQ(params.top_k, 7);
  EXPECT_EQ(params.top_p, 0.95) << "the model's";
}

TEST(SamplingOptions, GreedyIsTemperatureZero) {
  EXPECT_EQ(resolve({"--greedy"}).temperature, 0);
  EXPECT_EQ(resolve({"--temperature", "0"}).temperature, 0);
  EXPECT_EQ(resolve({"--greedy", "--temperature", "0"}).temperature, 0);
  EXPECT_THROW(resolve({"--greedy", "--temperature", "0.5"}), InputError);
}

TEST(SamplingOptions, WhatGreedyChoiceLeavesAsideIsNoted) {
  testing::internal::CaptureStderr();
  resolve({"--greedy", "--top-p", "0.5", "--min-p", "0.1"});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("dms: note: --top-p, --min-p: without effect at temperature 0"));
  testing::internal::CaptureStderr();
  resolve({"--top-p", "0.5"});
  resolve({"--greedy", "--seed", "3"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(SamplingOptions, StopsAddUp) {
  const SamplingParams params =
      resolve({"--stop", "a,b", "--stop-id", "3", "--stop", "c", "--stop-id", "5"});
  EXPECT_THAT(params.stop, ElementsAre("a,b", "c"));
  EXPECT_THAT(params.stop_ids, ElementsAre(3, 5));
  EXPECT_THROW(resolve({"--stop-id", "-1"}), InputError);
  EXPECT_THROW(resolve({"--stop-id", "2147483648"}), InputError);
}

TEST(SamplingOptions, AnySeedIsTaken) {
  EXPECT_EQ(resolve({"--seed", "18446744073709551615"}).seed, ~uint64_t{0});
  EXPECT_THROW(resolve({"--seed", "18446744073709551616"}), InputError);
  EXPECT_THROW(resolve({"--seed", "-1"}), InputError);
}

}  // namespace
}  // namespace dms::cli
