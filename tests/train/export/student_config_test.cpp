#include "train/export/student_config.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/export/dms_keys.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

DmsSpec adapter() { return {.source = DmsSource::adapter, .window = 512, .target_cr = 8.0}; }

TEST(StudentConfig, HasExactlyNvidiasKeys) {
  const Json base{{"model_type", "qwen3"},
                  {"architectures", {"Qwen3ForCausalLM"}},
                  {"torch_dtype", "float32"},
                  {"rope_theta", 1000000.0},
                  {"unknown", {{"deep", 1}}}};
  const Json expected = Json::parse(R"({
    "model_type": "qwen3",
    "torch_dtype": "bfloat16",
    "rope_theta": 1000000.0,
    "unknown": {"deep": 1},
    "auto_map": {
      "AutoConfig": "configuration_qwen3_dms.Qwen3ConfigDMS",
      "AutoModel": "modeling_qwen3_dms.Qwen3ModelDMS",
      "AutoModelForCausalLM": "modeling_qwen3_dms.Qwen3ForCausalLMDMS",
      "AutoModelForQuestionAnswering": "modeling_qwen3_dms.Qwen3ForQuestionAnsweringDMS",
      "AutoModelForSequenceClassification": "modeling_qwen3_dms.Qwen3ForSequenceClassificationDMS",
      "AutoModelForTokenClassification": "modeling_qwen3_dms.Qwen3ForTokenClassificationDMS"
    },
    "dms_alpha_scale": 100.0,
    "dms_initial_alpha_offset": 5.0,
    "dms_window_size": 512,
    "dms_alpha_per": "head",
    "dms_separate_alpha": true,
    "dms_cr": 8,
    "dms_disable_eviction": false,
    "dms_tau": 0.1,
    "dms_paged_attention_block_size": 256
  })");
  EXPECT_EQ(student_config(base, {.dms = adapter()}), expected);
  EXPECT_TRUE(student_config(base, {.dms = adapter()})["dms_cr"].is_number_integer());
}

TEST(StudentConfig, OtherFamiliesKeepTheirArchitectures) {
  const Json base{{"model_type", "llama"}, {"architectures", {"LlamaForCausalLM"}}};
  const Json config = student_config(base, {.dms = adapter()});
  EXPECT_EQ(config["architectures"], base["architectures"]);
  EXPECT_FALSE(config.contains("auto_map"));
  EXPECT_EQ(config["dms_window_size"], 512);
}

TEST(StudentConfig, StaleSettingsOfTheBaseGo) {
  Json base{{"model_type", "qwen3"}, {"dms_decision_shift", 0}, {"dms_cr", 4}, {"dms_tau", 1.0}};
  DmsSpec dms = adapter();
  dms.target_cr = 0;  // not stated
  const Json config = student_config(base, {.dms = dms, .tau = 0.25});
  EXPECT_FALSE(config.contains("dms_decision_shift"));
  EXPECT_FALSE(config.contains("dms_cr"));
  EXPECT_EQ(config["dms_tau"], 0.25);
  const Json plain = student_config(config, {.dms = std::nullopt});
  EXPECT_EQ(plain, (Json{{"model_type", "qwen3"}, {"torch_dtype", "bfloat16"}}));
}

TEST(StudentConfig, TheTypeIsWrittenUnderTheNameThatTheBaseUses) {
  const auto keys = [](const Json& base) {
    const Json config = student_config(base, {.dtype = DType::f16});
    return std::pair(config.value("dtype", ""), config.value("torch_dtype", ""));
  };
  using Keys = std::pair<std::string, std::string>;
  EXPECT_EQ(keys({{"dtype", "float32"}}), Keys("float16", ""));
  EXPECT_EQ(keys({{"torch_dtype", "float32"}}), Keys("", "float16"));
  EXPECT_EQ(keys({{"dtype", "float32"}, {"torch_dtype", "float32"}}), Keys("float16", "float16"));
  EXPECT_EQ(keys(Json::object()), Keys("", "float16"));
}

TEST(StudentConfig, OnlyWhatNvidiasCodeComputesAlikeGetsItsAutoMap) {
  EXPECT_TRUE(runs_in_nvidia_code("qwen3", adapter()));
  EXPECT_TRUE(runs_in_nvidia_code("qwen3", DmsSpec{.source = DmsSource::neuron}));
  EXPECT_FALSE(runs_in_nvidia_code("qwen2", adapter()));
  EXPECT_FALSE(runs_in_nvidia_code("qwen3", std::nullopt));
  EXPECT_FALSE(runs_in_nvidia_code("qwen3", DmsSpec{.zero_after_rope = false}));
  DmsSpec unshifted = adapter();
  unshifted.decision_shift = 0;
  EXPECT_FALSE(runs_in_nvidia_code("qwen3", unshifted));
  DmsSpec biased = adapter();
  biased.alpha_bias = true;
  EXPECT_FALSE(runs_in_nvidia_code("qwen3", biased));
  DmsSpec sinking = adapter();
  sinking.sinks = 4;
  EXPECT_FALSE(runs_in_nvidia_code("qwen3", sinking));
  const Json base{{"model_type", "qwen3"}, {"architectures", {"Qwen3ForCausalLM"}}};
  const Json config = student_config(base, {.dms = unshifted});
  EXPECT_EQ(config["dms_decision_shift"], 0);
  EXPECT_TRUE(config.contains("architectures"));
}

TEST(StudentConfig, FastDmsSettingsAreWrittenInItsOwnForm) {
  const DmsSpec dms{.decision_shift = 0,
                    .zero_after_rope = false,
                    .window = 256,
                    .alpha_scale = 10.5,
                    .alpha_offset = 3.0,
                    .target_cr = 2.5};
  const Json config = student_config({{"model_type", "qwen3"}}, {.dms = dms});
  EXPECT_EQ(config, (Json{{"model_type", "qwen3"}, {"torch_dtype", "bfloat16"}}));
  EXPECT_EQ(fastdms_metadata(dms), Json::parse(R"({"window_size": 256, "alpha_scale": 10.5,
                                                   "alpha_offset": 3.0, "target_cr": 2.5})"));
}

TEST(StudentConfig, WhatFastDmsCannotSayIsRefused) {
  DmsSpec dms{.zero_after_rope = false, .per_layer = true};
  expect_parts(input_error([&] { fastdms_metadata(dms); }), {"alpha_per", "FastDMS", "layer"});
  dms = {.zero_after_rope = false, .disable_eviction = true};
  expect_parts(input_error([&] { fastdms_metadata(dms); }), {"disable_eviction", "FastDMS"});
}

}  // namespace
}  // namespace dms::train
