#include "model/spec/generation_config.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

class GenerationConfigTest : public testing::Test {
 protected:
  GenerationConfig load(const std::string& json) {
    std::ofstream(folder_.path() / "generation_config.json") << json;
    return load_generation_config(folder_.path());
  }

  testing_support::TempFolder folder_;
};

TEST_F(GenerationConfigTest, AFolderWithoutOneIsGreedy) {
  EXPECT_FALSE(load_generation_config(folder_.path()).do_sample);
  EXPECT_EQ(load_generation_config(folder_.path()).repetition_penalty, 1.0);
}

TEST_F(GenerationConfigTest, WhatIsNotSaidIsAsInTransformers) {
  const GenerationConfig config = load(R"({"do_sample": true, "top_p": null})");
  EXPECT_TRUE(config.do_sample);
  EXPECT_EQ(config.temperature, 1.0);
  EXPECT_EQ(config.top_k, 50);
  EXPECT_EQ(config.top_p, 1.0);
  EXPECT_EQ(config.min_p, 0.0);
}

TEST_F(GenerationConfigTest, ReadsEachField) {
  const GenerationConfig config = load(R"({"do_sample": true, "temperature": 0.6, "top_k": 20,
    "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.1, "max_new_tokens": 2048})");
  EXPECT_EQ(config.temperature, 0.6);
  EXPECT_EQ(config.top_k, 20);
  EXPECT_EQ(config.top_p, 0.95);
  EXPECT_EQ(config.min_p, 0.05);
  EXPECT_EQ(config.repetition_penalty, 1.1);
}

TEST_F(GenerationConfigTest, NamesTheFieldThatIsWrong) {
  const auto refuse = [this](const std::string& field, const std::string& value) {
    expect_parts(input_error([&] { load("{\"" + field + "\": " + value + "}"); }),
                 {"generation_config.json: " + field});
  };
  refuse("do_sample", "1");
  refuse("temperature", "-0.5");
  refuse("temperature", "\"hot\"");
  refuse("top_k", "-1");
  refuse("top_p", "1.5");
  refuse("min_p", "[]");
  refuse("repetition_penalty", "0");
  refuse("repetition_penalty", "-1");
}

}  // namespace
}  // namespace dms
