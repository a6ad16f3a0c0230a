// RoPE in the forms of transformers 4 and 5.

#include <string>

#include <gtest/gtest.h>

#include "model/spec/tiny_config.h"
#include "support/errors.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::spec_of;
using testing_support::tiny_config;

Json with_rope(const char* key, const Json& value) {
  Json config = tiny_config();
  config[key] = value;
  return config;
}

Json llama3() {
  return {{"factor", 8.0},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 64}};
}

TEST(RopeConfig, BothFormsSayTheSame) {
  Json old_form = llama3();
  old_form["type"] = "llama3";
  Json first = with_rope("rope_scaling", old_form);
  first["rope_theta"] = 5e5;
  Json new_form = llama3();
  new_form["rope_type"] = "llama3";
  new_form["rope_theta"] = 5e5;
  for (const Json& config : {first, with_rope("rope_parameters", new_form)}) {
    const RopeSpec rope = spec_of(config).rope;
    EXPECT_EQ(rope.scaling, RopeScaling::llama3);
    EXPECT_EQ(rope.theta, 5e5);
    EXPECT_EQ(rope.factor, 8.0);
    EXPECT_EQ(rope.high_freq_factor, 4.0);
    EXPECT_EQ(rope.original_context, 64);
    EXPECT_EQ(rope.rotary_dim, 4);
  }
}

TEST(RopeConfig, DefaultsAreThoseOfTransformers) {
  const RopeSpec rope = spec_of(tiny_config()).rope;
  EXPECT_EQ(rope.theta, 10000.0);
  EXPECT_EQ(rope.scaling, RopeScaling::none);
  const ModelSpec dynamic =
      spec_of(with_rope("rope_scaling", {{"type", "dynamic"}, {"factor", 2}}));
  EXPECT_EQ(dynamic.context, 256);
  EXPECT_EQ(dynamic.rope.original_context, 128);
}

TEST(RopeConfig, TheContextIsTheLengthThatScalingIsMeantFor) {
  struct Case {
    const char* type;
    int64_t stated;
    int64_t original;  // 0: not stated
    int64_t context;
  };
  for (const Case& c : {Case{"yarn", 64, 64, 256},  // Qwen2.5's guide
                        Case{"yarn", 64, 0, 256},
                        Case{"yarn", 80, 64, 256},   // Qwen3's guide
                        Case{"yarn", 256, 64, 256},  // the extended length is stated
                        Case{"yarn", 512, 64, 512},
                        Case{"linear", 64, 0, 256},  // 16K Vicunas
                        Case{"linear", 64, 64, 256},
                        Case{"linear", 256, 64, 256},
                        Case{"dynamic", 64, 0, 256},
                        Case{"dynamic", 64, 32, 256},
                        Case{"llama3", 256, 64, 256},
                        Case{"llama3", 64, 64, 64}}) {
    Json config = tiny_config();
    Json rope = {
        {"type", c.type}, {"factor", 4.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
    config["max_position_embeddings"] = c.stated;
    if (c.original != 0) rope["original_max_position_embeddings"] = c.original;
    config["rope_scaling"] = rope;
    EXPECT_EQ(spec_of(config).context, c.context) << c.type << " " << c.stated << " " << c.original;
  }
}

TEST(RopeConfig, AHugeFactorDoesNotOverflowTheContext) {
  Json config = with_rope("rope_scaling", {{"type", "linear"}, {"factor", 1e6}});
  config["max_position_embeddings"] = 1 << 30;
  EXPECT_EQ(spec_of(config).context, int64_t{1} << 30);
}

TEST(RopeConfig, TheOriginalLengthBesideTheSizesComesFirst) {
  for (const char* type : {"yarn", "llama3"}) {
    Json rope = llama3();
    rope["rope_type"] = type;
    Json config = with_rope("rope_parameters", rope);
    EXPECT_EQ(spec_of(config).rope.original_context, 64) << type;
    config["original_max_position_embeddings"] = 32;
    EXPECT_EQ(spec_of(config).rope.original_context, 32) << type;
  }
}

TEST(RopeConfig, RopeScalingReplacesRopeParameters) {
  Json config = with_rope("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}});
  config["rope_scaling"] = Json::object();
  EXPECT_EQ(spec_of(config).rope.scaling, RopeScaling::none);
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  const ModelSpec same_base = spec_of(config);
  EXPECT_EQ(same_base.rope.scaling, RopeScaling::linear);
  EXPECT_EQ(same_base.rope.factor, 4.0);
  EXPECT_TRUE(same_base.notes.empty());
  config["rope_parameters"]["rope_theta"] = 5e5;
  const ModelSpec other_base = spec_of(config);
  EXPECT_EQ(other_base.rope.theta, 10000.0) << "as in transformers";
  ASSERT_EQ(other_base.notes.size(), 1u);
  expect_parts(other_base.notes[0], {"rope_scaling", "rope_theta 10000.0 instead of 500000.0"});
  config["rope_theta"] = 7e5;
  EXPECT_EQ(spec_of(config).rope.theta, 7e5);
  config["rope_scaling"]["rope_theta"] = 5e5;
  EXPECT_EQ(spec_of(config).rope.theta, 5e5);
  EXPECT_TRUE(spec_of(config).notes.empty());
}

TEST(RopeConfig, YarnDerivesItsFactor) {
  Json yarn = {{"rope_type", "yarn"}, {"original_max_position_embeddings", 32}};
  EXPECT_EQ(spec_of(with_rope("rope_scaling", yarn)).rope.factor, 4.0);
  yarn["factor"] = 3.0;
  yarn["beta_fast"] = 16.0;
  yarn["attention_factor"] = 1.5;
  const RopeSpec rope = spec_of(with_rope("rope_scaling", yarn)).rope;
  EXPECT_EQ(rope.factor, 3.0);
  EXPECT_EQ(rope.beta_fast, 16.0);
  EXPECT_EQ(rope.attention_factor, 1.5);
}

TEST(RopeConfig, PartOfTheChannelsMayTurn) {
  Json config = tiny_config("phi3");
  config["head_dim"] = 16;
  config["partial_rotary_factor"] = 0.5;
  EXPECT_EQ(spec_of(config).rope.rotary_dim, 8);
  config["rope_parameters"] = {{"partial_rotary_factor", 0.25}};
  EXPECT_EQ(spec_of(config).rope.rotary_dim, 4);
  config["rope_parameters"] = {{"partial_rotary_factor", 0.2}};
  expect_parts(input_error([&] { spec_of(config); }),
               {"partial_rotary_factor", "got 3 channels of 16", "an even number"});
}

TEST(RopeConfig, WholeHeadsTurnWhereTransformersKnowsNoPart) {
  for (const char* family : {"llama", "gemma2", "gemma3_text", "smollm3", "falcon"}) {
    Json config = tiny_config(family);
    config["partial_rotary_factor"] = 1.0;
    EXPECT_TRUE(spec_of(config).notes.empty()) << family;
    config["partial_rotary_factor"] = 0.5;
    const ModelSpec spec = spec_of(config);
    EXPECT_EQ(spec.rope.rotary_dim, 4) << family;
    ASSERT_EQ(spec.notes.size(), 1u) << family;
    expect_parts(spec.notes[0], {"config.json: partial_rotary_factor: ignored", "got 0.5"});
  }
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const ModelSpec spec = spec_of(with_rope(key, {{"partial_rotary_factor", 0.5}}));
    EXPECT_EQ(spec.rope.rotary_dim, 4) << key;
    ASSERT_EQ(spec.notes.size(), 1u) << key;
    expect_parts(spec.notes[0], {key, "partial_rotary_factor", "ignored"});
  }
}

TEST(RopeConfig, WhatIsUnknownOrAbsurdIsRefused) {
  const auto error = [](const Json& rope) {
    return input_error([&] { spec_of(with_rope("rope_parameters", rope)); });
  };
  expect_parts(error({{"rope_type", "proportional"}}),
               {"rope_parameters", "got proportional", "yarn"});
  expect_parts(error({{"rope_type", "linear"}}), {"rope_parameters: factor", "missing"});
  expect_parts(error({{"rope_type", "linear"}, {"factor", 0.5}}), {"factor", "got 0.5"});
  expect_parts(error({{"full_attention", {{"rope_type", "default"}}}}),
               {"rope_parameters: full_attention", "not supported", "got ", "expected "});
  Json crossed = llama3();
  crossed["rope_type"] = "llama3";
  crossed["high_freq_factor"] = 0.5;
  expect_parts(error(crossed), {"high_freq_factor", "got 0.5", "more than 1.0"});
  expect_parts(error("yarn"), {"rope_parameters", "got \"yarn\"", "a JSON object"});
}

}  // namespace
}  // namespace dms
