// What single families make of the settings that they alone have.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "model/spec/tiny_config.h"
#include "support/errors.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::spec_of;
using testing_support::tiny_config;

TEST(SmolLm3, SomeLayersDoNotTurn) {
  Json config = tiny_config("smollm3");
  config["num_hidden_layers"] = 5;
  const ModelSpec plain = spec_of(config);
  EXPECT_EQ(plain.unrotated, (std::vector<uint8_t>{0, 0, 0, 1, 0}));
  EXPECT_EQ(plain.rope.theta, 2e6);
  EXPECT_EQ(plain.rope_at(3), nullptr);
  EXPECT_EQ(plain.rope_at(4), &plain.rope);
  config["no_rope_layers"] = {1, 0, 1, 1, 0, 1};
  config["sliding_window"] = 7;
  EXPECT_TRUE(spec_of(config).sliding_window.empty()) << "not asked for";
  config["use_sliding_window"] = true;
  EXPECT_EQ(spec_of(config).unrotated, (std::vector<uint8_t>{0, 1, 0, 0, 1}));
  EXPECT_EQ(spec_of(config).sliding_window, (std::vector<int64_t>{0, 7, 0, 0, 7}));
  for (const Json& bad : {Json{1, 0}, Json(3), Json{1, 1, 1, 2, 1}, Json{1, true, 1, 1, 1}}) {
    config["no_rope_layers"] = bad;
    expect_parts(input_error([&] { spec_of(config); }), {"no_rope_layers", "0 or 1"});
  }
}

TEST(Phi3, FactorsFollowTheLength) {
  Json config = tiny_config("phi3");
  EXPECT_EQ(spec_of(config).norm_eps, 1e-5);
  config["head_dim"] = 8;
  config["original_max_position_embeddings"] = 32;
  config["rope_scaling"] = {{"type", "su"},
                            {"short_factor", {1.0, 1.5, 2.0, 3.0}},
                            {"long_factor", {2.0, 4.0, 8.0, 16.0}}};
  for (const char* name : {"su", "yarn", "longrope"}) {
    config["rope_scaling"]["type"] = name;
    const ModelSpec spec = spec_of(config);
    EXPECT_EQ(spec.rope.scaling, RopeScaling::longrope) << name;
    EXPECT_EQ(spec.rope.original_context, 32);
    EXPECT_EQ(spec.rope.factor, 4.0);
    EXPECT_EQ(spec.context, 128);
    EXPECT_EQ(spec.rope.short_factors, (std::vector<float>{1.0f, 1.5f, 2.0f, 3.0f}));
    EXPECT_EQ(spec.rope.long_factors, (std::vector<float>{2.0f, 4.0f, 8.0f, 16.0f}));
  }
  config.erase("original_max_position_embeddings");
  EXPECT_EQ(spec_of(config).rope.original_context, 4096);
  for (const Json& bad :
       {Json{1.0, 2.0}, Json("1"), Json{1.0, 2.0, 0.0, 1.0}, Json{1, 2, 3, "4"}}) {
    config["rope_scaling"]["long_factor"] = bad;
    expect_parts(input_error([&] { spec_of(config); }), {"rope_scaling: long_factor", "number"});
  }
}

TEST(Gemma, WhatIsAbsentIsNotWhatIsNull) {
  Json config = tiny_config("gemma2");
  const ModelSpec absent = spec_of(config);
  EXPECT_EQ(absent.attention_soft_cap, 50.0);
  EXPECT_EQ(absent.logit_soft_cap, 30.0);
  EXPECT_EQ(absent.attention_scale, 1.0 / 16.0);
  EXPECT_EQ(absent.embedding_scale, 4.0);
  EXPECT_EQ(absent.activation, Activation::gelu_tanh);
  EXPECT_EQ(absent.sliding_window, (std::vector<int64_t>{4096, 0}));
  config["attn_logit_softcapping"] = nullptr;
  config["final_logit_softcapping"] = nullptr;
  EXPECT_EQ(spec_of(config).attention_soft_cap, 0.0);
  EXPECT_EQ(spec_of(config).logit_soft_cap, 0.0);
  config["sliding_window"] = nullptr;
  expect_parts(input_error([&] { spec_of(config); }), {"sliding_window", "got null"});
}

TEST(Gemma, LayersWithAWindowTurnOtherwiseInTheThird) {
  Json config = tiny_config("gemma3_text");
  config["num_hidden_layers"] = 7;
  config["sliding_window"] = 9;
  ModelSpec spec = spec_of(config);
  EXPECT_EQ(spec.sliding_window, (std::vector<int64_t>{9, 9, 9, 9, 9, 0, 9}));
  EXPECT_EQ(spec.rope_at(5)->theta, 1e6);
  EXPECT_EQ(spec.rope_at(6)->theta, 1e4);
  EXPECT_EQ(spec.logit_soft_cap, 0.0);
  config["rope_theta"] = 5e5;
  config["rope_local_base_freq"] = 700;
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  spec = spec_of(config);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_EQ(spec.rope.factor, 8.0);
  EXPECT_EQ(spec.local_rope->theta, 700.0);
  EXPECT_EQ(spec.local_rope->scaling, RopeScaling::none);
  EXPECT_EQ(spec.context, 128) << "is stated after scaling";
  Json nested = tiny_config("gemma3_text");
  nested["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 3e5}}},
                               {"sliding_attention", {{"rope_theta", 900}}}};
  EXPECT_EQ(spec_of(nested).rope.theta, 3e5);
  EXPECT_EQ(spec_of(nested).local_rope->theta, 900.0);
  nested["rope_parameters"]["full_attention"] = 7;
  expect_parts(input_error([&] { spec_of(nested); }), {"rope_parameters: full_attention"});
}

TEST(Gemma, WhatItDoesNotComputeIsRefused) {
  for (const char* model_type : {"gemma2", "gemma3_text"}) {
    Json config = tiny_config(model_type);
    config["use_bidirectional_attention"] = true;
    expect_parts(input_error([&] { spec_of(config); }), {"use_bidirectional_attention"});
  }
  Json capped = tiny_config("gemma3_text");
  capped["attn_logit_softcapping"] = 50.0;
  expect_parts(input_error([&] { spec_of(capped); }), {"attn_logit_softcapping", "got 50.0"});
}

TEST(GptNeoX, PartOfEachHeadTurns) {
  Json config = tiny_config("gpt_neox");
  config["hidden_size"] = 64;
  config.erase("rotary_pct");
  EXPECT_EQ(spec_of(config).rope.rotary_dim, 4);
  config["rotary_pct"] = 0.5;
  config["rotary_emb_base"] = 700;
  const ModelSpec spec = spec_of(config);
  EXPECT_EQ(spec.rope.rotary_dim, 8);
  EXPECT_EQ(spec.rope.theta, 700.0);
  EXPECT_TRUE(spec.parallel_residual);
  EXPECT_FALSE(spec.shared_norm);
  EXPECT_TRUE(spec.qkv_bias);
  EXPECT_EQ(spec.qkv_layout, QkvLayout::per_head);
  config["use_parallel_residual"] = false;
  config["attention_bias"] = false;
  EXPECT_FALSE(spec_of(config).parallel_residual);
  EXPECT_FALSE(spec_of(config).qkv_bias);
  EXPECT_TRUE(spec_of(config).mlp_bias);
  config["rotary_pct"] = 0.1;
  expect_parts(input_error([&] { spec_of(config); }), {"config.json: rotary_pct", "1 channels"});
}

TEST(Opt, NormsStandBeforeOrAfterTheSubLayers) {
  Json config = tiny_config("opt");
  const ModelSpec before = spec_of(config);
  EXPECT_EQ(before.position, PositionKind::learned);
  EXPECT_EQ(before.activation, Activation::relu);
  EXPECT_FALSE(before.norm_after);
  EXPECT_TRUE(before.has_final_norm);
  EXPECT_EQ(before.embedding_dim, 0);
  config["_remove_final_layer_norm"] = true;
  EXPECT_FALSE(spec_of(config).has_final_norm);
  config["do_layer_norm_before"] = false;
  config["word_embed_proj_dim"] = 8;
  config["enable_bias"] = false;
  const ModelSpec after = spec_of(config);
  EXPECT_TRUE(after.norm_after);
  EXPECT_FALSE(after.has_final_norm);
  EXPECT_EQ(after.embedding_dim, 8);
  EXPECT_FALSE(after.qkv_bias || after.output_bias || after.mlp_bias);
  config["layer_norm_elementwise_affine"] = false;
  expect_parts(input_error([&] { spec_of(config); }), {"layer_norm_elementwise_affine"});
}

TEST(Falcon, ItsFormsDifferInHeadsAndNorms) {
  Json config = tiny_config("falcon");
  EXPECT_FALSE(spec_of(config).shared_norm);
  config["num_ln_in_parallel_attn"] = 1;
  EXPECT_TRUE(spec_of(config).shared_norm);
  config["num_kv_heads"] = 3;
  expect_parts(input_error([&] { spec_of(config); }), {"num_kv_heads", "a divisor of 4"});
  config["new_decoder_architecture"] = false;
  const ModelSpec seven = spec_of(config);
  EXPECT_EQ(seven.kv_heads, 1);
  EXPECT_TRUE(seven.parallel_residual);
  EXPECT_TRUE(seven.shared_norm);
  EXPECT_EQ(seven.position, PositionKind::rope);
  config["multi_query"] = false;
  config["parallel_attn"] = false;
  config["alibi"] = true;
  const ModelSpec rw = spec_of(config);
  EXPECT_EQ(rw.kv_heads, 4);
  EXPECT_EQ(rw.qkv_layout, QkvLayout::per_head);
  EXPECT_FALSE(rw.parallel_residual);
  EXPECT_EQ(rw.position, PositionKind::alibi);
  EXPECT_EQ(rw.alibi_slopes, (std::vector<float>{0x1p-2f, 0x1p-4f, 0x1p-6f, 0x1p-8f}));
  EXPECT_TRUE(rw.alibi_in_bf16);
}

TEST(Mpt, SlopesOfAnyNumberOfHeads) {
  Json config = tiny_config("mpt");
  config["attn_config"] = {{"softmax_scale", 0.25}, {"clip_qkv", 6.0}};
  const ModelSpec four = spec_of(config);
  EXPECT_EQ(four.position, PositionKind::alibi);
  EXPECT_EQ(four.alibi_slopes, (std::vector<float>{1.0f, 0x1p-2f, 0x1p-4f, 0x1p-6f}));
  EXPECT_EQ(four.qkv_clip, 6.0);
  EXPECT_FALSE(four.norm_has_bias);
  config["n_heads"] = 3;
  config["d_model"] = 12;
  EXPECT_EQ(spec_of(config).alibi_slopes, (std::vector<float>{0x1p-2f, 0x1p-6f, 1.0f}))
      << "the second, the fourth, the first of four";
  config["attn_config"]["alibi_bias_max"] = 4;
  EXPECT_EQ(spec_of(config).alibi_slopes, (std::vector<float>{1.0f, 0x1p-2f, 2.0f}));
}

TEST(Mpt, WhatTransformersLeavesOutIsRefused) {
  for (const auto& [key, value] : {std::pair{"alibi", Json(false)},
                                   std::pair{"prefix_lm", Json(true)},
                                   std::pair{"attn_type", Json("multiquery_attention")}}) {
    Json config = tiny_config("mpt");
    config["attn_config"] = {{key, value}};
    expect_parts(input_error([&] { spec_of(config); }), {std::string("attn_config: ") + key});
  }
  for (const auto& [key, value] : {std::pair{"no_bias", Json(false)},
                                   std::pair{"norm_type", Json("rmsnorm")},
                                   std::pair{"logit_scale", Json(2.0)}}) {
    Json config = tiny_config("mpt");
    config[key] = value;
    expect_parts(input_error([&] { spec_of(config); }), {std::string("config.json: ") + key});
  }
  Json config = tiny_config("mpt");
  config["attn_config"] = "flash";
  expect_parts(input_error([&] { spec_of(config); }), {"attn_config"});
}

}  // namespace
}  // namespace dms
