// Every registered family, and what each makes of config.json's fields.

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "model/spec/families/family.h"
#include "model/spec/load.h"
#include "model/spec/tiny_config.h"
#include "model/spec/weights.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::has_llama_names;
using testing_support::input_error;
using testing_support::spec_of;
using testing_support::TempFolder;
using testing_support::tiny_config;

class EveryFamily : public ::testing::TestWithParam<std::string_view> {
 protected:
  /// Of the attention, in transformers.
  static std::string module_name() {
    if (GetParam() == "gpt_neox") return "attention";
    if (GetParam() == "mpt") return "attn";
    return GetParam() == "falcon" ? "self_attention" : "self_attn";
  }
};

TEST_P(EveryFamily, ReadsSizesAndNamesEachWeightOnce) {
  const ModelSpec spec = spec_of(tiny_config(GetParam()));
  EXPECT_EQ(spec.model_type, GetParam());
  EXPECT_EQ(spec.layers, 2);
  EXPECT_EQ(spec.hidden, 16);
  EXPECT_EQ(spec.q_heads, 4);
  const bool has_groups = has_llama_names(GetParam()) || spec.model_type == "falcon";
  EXPECT_EQ(spec.kv_heads, has_groups ? 2 : 4);
  EXPECT_EQ(spec.group(), has_groups ? 2 : 1);
  EXPECT_EQ(spec.head_dim, 4);
  EXPECT_EQ(spec.ffn, spec.model_type == "mpt" ? 64 : 24);
  EXPECT_EQ(spec.vocab, 32);
  EXPECT_EQ(spec.context, 128);
  EXPECT_TRUE(spec.notes.empty());
  EXPECT_FALSE(spec.dms);
  std::set<std::string> names;
  int64_t parameters = 0;
  for (const WeightName& weight : weight_names(spec)) {
    EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
    EXPECT_EQ(weight.name.find('{'), std::string::npos) << weight.name;
    int64_t count = 1;
    for (const int64_t size : weight.shape) count *= size;
    EXPECT_GT(count, 0) << weight.name;
    parameters += count;
  }
  EXPECT_EQ(parameters, parameter_count(spec));
}

TEST_P(EveryFamily, ATiedHeadIsNotAWeight) {
  Json config = tiny_config(GetParam());
  const int64_t untied = parameter_count(spec_of(config));
  config["tie_word_embeddings"] = true;
  const ModelSpec spec = spec_of(config);
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(parameter_count(spec), untied - 32 * 16);
}

TEST_P(EveryFamily, ATrainedAdapterAddsItsWeights) {
  Json config = tiny_config(GetParam());
  config["dms_separate_alpha"] = true;
  const ModelSpec spec = spec_of(config);
  const auto names = weight_names(spec);
  const auto has = [&](WeightRole role, const std::string& end) {
    return std::ranges::any_of(names, [&](const WeightName& weight) {
      return weight.role == role && weight.layer == 1 && weight.name.ends_with(end);
    });
  };
  EXPECT_TRUE(has(WeightRole::dms_alpha, ".1." + module_name() + ".dms_proj_alpha.weight"));
  EXPECT_TRUE(
      has(WeightRole::dms_alpha_norm, ".1." + module_name() + ".dms_proj_alpha_norm.weight"));
  EXPECT_EQ(has(WeightRole::dms_alpha_bias, "dms_proj_alpha.bias"), spec.qkv_bias);
}

TEST_P(EveryFamily, AnAdapterMayHaveABiasOfItsOwn) {
  Json config = tiny_config(GetParam());
  config["dms_separate_alpha"] = true;
  config["dms_alpha_bias"] = true;
  const ModelSpec spec = spec_of(config);
  const auto is_bias = [&](const WeightName& weight) {
    return weight.role == WeightRole::dms_alpha_bias &&
           weight.shape == std::vector<int64_t>{spec.kv_heads};
  };
  EXPECT_EQ(std::ranges::count_if(weight_names(spec), is_bias), spec.layers);
}

INSTANTIATE_TEST_SUITE_P(Registered,
                         EveryFamily,
                         ::testing::ValuesIn(supported_model_types().begin(),
                                             supported_model_types().end()),
                         [](const auto& item) { return std::string(item.param); });

TEST(Families, BiasesAndNormsAreTheFamilys) {
  EXPECT_FALSE(spec_of(tiny_config("llama")).qkv_bias);
  EXPECT_TRUE(spec_of(tiny_config("qwen2")).qkv_bias);
  EXPECT_FALSE(spec_of(tiny_config("qwen2")).output_bias);
  EXPECT_TRUE(spec_of(tiny_config("qwen3")).qk_norm);
  EXPECT_FALSE(spec_of(tiny_config("qwen2")).qk_norm);
  Json biased = tiny_config("llama");
  biased["attention_bias"] = true;
  biased["mlp_bias"] = true;
  EXPECT_TRUE(spec_of(biased).qkv_bias);
  EXPECT_TRUE(spec_of(biased).output_bias);
  EXPECT_TRUE(spec_of(biased).mlp_bias);
}

TEST(Families, SeedOssChoosesItsBiasesOneByOne) {
  const Json config = tiny_config("seed_oss");
  EXPECT_TRUE(spec_of(config).qkv_bias);
  EXPECT_FALSE(spec_of(config).output_bias);
  EXPECT_FALSE(spec_of(config).mlp_bias);
  Json unbiased = config;
  unbiased["attention_bias"] = false;
  EXPECT_FALSE(spec_of(unbiased).qkv_bias);
  Json output = config;
  output["attention_out_bias"] = true;
  EXPECT_TRUE(spec_of(output).output_bias);
  EXPECT_FALSE(spec_of(output).mlp_bias);
  Json mlp = config;
  mlp["mlp_bias"] = true;
  EXPECT_TRUE(spec_of(mlp).mlp_bias);
  EXPECT_FALSE(spec_of(mlp).output_bias);
}

TEST(Families, AbsentHeadSizesAreThoseOfTransformers) {
  const auto heads = [](std::string_view model_type, bool explicit_null) {
    Json config = tiny_config(model_type);
    config["hidden_size"] = 128;
    config["num_attention_heads"] = 64;
    config.erase("num_key_value_heads");
    if (explicit_null) config["num_key_value_heads"] = nullptr;
    return spec_of(config).kv_heads;
  };
  EXPECT_EQ(heads("llama", false), 64);
  EXPECT_EQ(heads("mistral", false), 8);
  EXPECT_EQ(heads("qwen2", false), 32);
  EXPECT_EQ(heads("qwen3", false), 32);
  EXPECT_EQ(heads("seed_oss", false), 8);
  EXPECT_EQ(heads("smollm3", false), 4);
  EXPECT_EQ(heads("phi3", false), 64);
  EXPECT_EQ(heads("gemma2", false), 4);
  for (const std::string_view model_type : {"llama", "mistral", "qwen2", "qwen3", "seed_oss"}) {
    EXPECT_EQ(heads(model_type, true), 64) << model_type;
    Json config = tiny_config(model_type);
    config.erase("head_dim");
    config["hidden_size"] = 48;
    const bool has_default = model_type == "qwen3" || model_type == "seed_oss";
    EXPECT_EQ(spec_of(config).head_dim, has_default ? 128 : 12) << model_type;
  }
}

TEST(Families, SeedOssDerivesTheHeadSizeWhereItIsNull) {
  Json config = tiny_config("seed_oss");
  config["head_dim"] = nullptr;
  config["hidden_size"] = 48;
  EXPECT_EQ(spec_of(config).head_dim, 12);
}

TEST(Families, ADefaultThatDoesNotDivideTheHeadsIsNotTaken) {
  Json config = tiny_config("mistral");
  config.erase("num_key_value_heads");
  EXPECT_EQ(spec_of(config).kv_heads, 4);
}

TEST(SlidingWindow, MistralHasItEverywhereUnlessNull) {
  Json config = tiny_config("mistral");
  EXPECT_EQ(spec_of(config).sliding_window, (std::vector<int64_t>{4096, 4096}));
  config["sliding_window"] = 7;
  EXPECT_EQ(spec_of(config).sliding_window_at(1), 7);
  config["sliding_window"] = nullptr;
  EXPECT_TRUE(spec_of(config).sliding_window.empty());
  EXPECT_EQ(spec_of(config).sliding_window_at(1), 0);
}

TEST(SlidingWindow, QwenHasItOnTheLayersThatAskForIt) {
  for (const char* model_type : {"qwen2", "qwen3"}) {
    Json config = tiny_config(model_type);
    config["sliding_window"] = 9;
    EXPECT_TRUE(spec_of(config).sliding_window.empty()) << "not asked for";
    config["use_sliding_window"] = true;
    config["max_window_layers"] = 1;
    EXPECT_EQ(spec_of(config).sliding_window, (std::vector<int64_t>{0, 9}));
    config["layer_types"] = {"sliding_attention", "full_attention"};
    EXPECT_EQ(spec_of(config).sliding_window, (std::vector<int64_t>{9, 0}));
    config["layer_types"] = {"sliding_attention"};
    expect_parts(input_error([&] { spec_of(config); }), {"layer_types", "got 1", "expected 2"});
    config["layer_types"] = {"sliding_attention", "linear_attention"};
    expect_parts(input_error([&] { spec_of(config); }),
                 {"layer_types", "linear_attention", "expected full_attention"});
  }
}

TEST(TokenIds, BothFilesTogetherWithoutRepeats) {
  const TempFolder folder;
  Json config = tiny_config();
  config["eos_token_id"] = 3;
  config["bos_token_id"] = 1;
  folder.write("config.json", config.dump());
  EXPECT_EQ(load_spec(folder.path(), MetadataScope::with_parent).eos_ids,
            (std::vector<int32_t>{3}));
  folder.write("generation_config.json", R"({"eos_token_id": [7, 3, 5]})");
  const ModelSpec spec = load_spec(folder.path(), MetadataScope::with_parent);
  EXPECT_EQ(spec.eos_ids, (std::vector<int32_t>{3, 7, 5}));
  EXPECT_EQ(spec.bos_id, 1);
  EXPECT_TRUE(spec.notes.empty());
}

TEST(TokenIds, AnIdThatNoTokenHasIsLeftOutWithANote) {
  const TempFolder folder;
  Json config = tiny_config();
  config["eos_token_id"] = {3, -1, 32};
  config["bos_token_id"] = uint64_t{1} << 63;
  folder.write("config.json", config.dump());
  folder.write("generation_config.json", R"({"eos_token_id": [2147483648, 31]})");
  const ModelSpec spec = load_spec(folder.path(), MetadataScope::with_parent);
  EXPECT_EQ(spec.eos_ids, (std::vector<int32_t>{3, 31}));
  EXPECT_FALSE(spec.bos_id);
  ASSERT_EQ(spec.notes.size(), 4u);
  expect_parts(spec.notes[0], {"config.json: eos_token_id", "got -1", "0 to 31"});
  expect_parts(spec.notes[1], {"config.json: eos_token_id", "got 32"});
  expect_parts(spec.notes[2], {"config.json: bos_token_id", "got 9223372036854775808"});
  expect_parts(spec.notes[3], {"generation_config.json: eos_token_id", "got 2147483648"});
}

TEST(TokenIds, WhatIsNoIdIsRefused) {
  Json config = tiny_config();
  for (const Json& bad : {Json("end"), Json(2.5), Json(true), Json{1, "x"}}) {
    config["eos_token_id"] = bad;
    expect_parts(input_error([&] { spec_of(config); }), {"eos_token_id", "a token id"});
  }
}

TEST(Context, WithoutOneItIsThatOfTransformersWithANote) {
  for (const auto& [family, context] : {std::pair{"llama", 2048},
                                        std::pair{"mistral", 131072},
                                        std::pair{"qwen2", 32768},
                                        std::pair{"qwen3", 32768},
                                        std::pair{"seed_oss", 524288},
                                        std::pair{"smollm3", 32768},
                                        std::pair{"phi3", 4096},
                                        std::pair{"gemma2", 8192},
                                        std::pair{"gemma3_text", 131072},
                                        std::pair{"gpt_neox", 2048},
                                        std::pair{"opt", 2048},
                                        std::pair{"falcon", 2048}}) {
    Json config = tiny_config(family);
    config.erase("max_position_embeddings");
    const ModelSpec spec = spec_of(config);
    EXPECT_EQ(spec.context, context) << family;
    ASSERT_EQ(spec.notes.size(), 1u);
    expect_parts(spec.notes[0], {"max_position_embeddings", "missing", std::to_string(context)});
  }
}

TEST(Dtype, AnUnknownOneIsNoReasonToRefuse) {
  Json config = tiny_config();
  for (const char* known : {"torch.bfloat16", "float16", "float32", "auto"}) {
    config["torch_dtype"] = known;
    EXPECT_TRUE(spec_of(config).notes.empty()) << known;
  }
  for (const Json& unknown : {Json("float8_e4m3fn"), Json("float64"), Json("x"), Json(7)}) {
    config["dtype"] = unknown;
    const ModelSpec spec = spec_of(config);
    ASSERT_EQ(spec.notes.size(), 1u);
    expect_parts(spec.notes[0], {"config.json: dtype", "got " + unknown.dump(), "bfloat16"});
  }
}

}  // namespace
}  // namespace dms
