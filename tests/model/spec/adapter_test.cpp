#include "model/spec/adapter.h"

#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "model/spec/kvzap_adapter.h"
#include "model/spec/load.h"
#include "model/spec/safetensors_file.h"
#include "model/spec/tiny_config.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::counting_file;
using testing_support::counting_tensors;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::spec_of;
using testing_support::TempFolder;
using testing_support::tensor_file;
using testing_support::TestTensor;
using testing_support::tiny_config;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kWeights = "adapter.safetensors";

Json adapter_config() {
  return {{"format", "dms-adapter"},
          {"version", 1},
          {"model_type", "llama"},
          {"hidden_size", 16},
          {"num_hidden_layers", 2},
          {"num_key_value_heads", 2},
          {"dms_separate_alpha", true},
          {"dms_window_size", 33},
          {"dms_alpha_scale", 50.0},
          {"dms_initial_alpha_offset", 2.5},
          {"dms_alpha_per", "layer"},
          {"dms_cr", 8}};
}

/// The weights an adapter of the tiny model has.
std::vector<WeightName> adapter_weights(bool with_bias = false) {
  std::vector<WeightName> weights;
  for (int64_t layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    weights.push_back({WeightRole::dms_alpha, layer, prefix + "dms_proj_alpha.weight", {2, 16}});
    weights.push_back(
        {WeightRole::dms_alpha_norm, layer, prefix + "dms_proj_alpha_norm.weight", {16}});
    if (with_bias) {
      weights.push_back({WeightRole::dms_alpha_bias, layer, prefix + "dms_proj_alpha.bias", {2}});
    }
  }
  return weights;
}

TEST(Adapter, GivesAPlainModelItsSettings) {
  const TempFolder folder;
  folder.write(kConfig, adapter_config().dump());
  ModelSpec spec = spec_of(tiny_config());
  apply_adapter(folder.path(), spec);
  ASSERT_TRUE(spec.dms);
  EXPECT_EQ(spec.dms->source, DmsSource::adapter);
  EXPECT_EQ(spec.dms->window, 33);
  EXPECT_EQ(spec.dms->alpha_scale, 50.0);
  EXPECT_EQ(spec.dms->alpha_offset, 2.5);
  EXPECT_EQ(spec.dms->decision_shift, 1);
  EXPECT_TRUE(spec.dms->per_layer);
  EXPECT_EQ(spec.dms->target_cr, 8.0);
  EXPECT_EQ(spec.dms->origin, (folder.path() / kConfig).string());
}

TEST(Adapter, ItsWeightsAreLayeredOverTheBases) {
  const TempFolder folder;
  folder.write(kConfig, adapter_config().dump());
  folder.write(kWeights, counting_file(adapter_weights()));
  ModelSpec spec = spec_of(tiny_config());
  const uint64_t seed = 7;
  apply_adapter(folder.path(), spec);
  const auto layered = layer_weights(random_weights(spec, seed), open_adapter(folder.path(), spec));
  const auto base = random_weights(spec, seed);
  int adapter_count = 0;
  for (const WeightName& weight : weight_names(spec)) {
    const int64_t rows = weight.shape.size() == 1 ? 1 : weight.shape[0];
    std::vector<float> got(static_cast<size_t>(element_count(weight)));
    std::vector<float> expected(got.size());
    layered->read_rows(weight, 0, rows, got);
    base->read_rows(weight, 0, rows, expected);
    if (weight.name.find("dms_proj_alpha") != std::string::npos) {
      for (size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<float>(i);
      ++adapter_count;
    }
    EXPECT_EQ(got, expected) << weight.name;
  }
  EXPECT_EQ(adapter_count, 4);
}

TEST(Adapter, AModelThatIsTrainedAlreadyIsRefused) {
  const TempFolder folder;
  folder.write(kConfig, adapter_config().dump());
  Json config = tiny_config();
  config["dms_window_size"] = 64;
  ModelSpec spec = spec_of(config);
  expect_parts(input_error([&] { apply_adapter(folder.path(), spec); }),
               {folder.path().string(), "already has trained eviction", "config.json"});
}

struct BadAdapter {
  const char* name;
  void (*spoil)(Json& config);
  std::vector<std::string> says;
};

class RefusedAdapter : public ::testing::TestWithParam<BadAdapter> {};

TEST_P(RefusedAdapter, SaysWhyAndLeavesTheSpecAlone) {
  const TempFolder folder;
  Json config = adapter_config();
  GetParam().spoil(config);
  folder.write(kConfig, config.dump());
  ModelSpec spec = spec_of(tiny_config());
  const std::string text = input_error([&] { apply_adapter(folder.path(), spec); });
  expect_parts(text, {kConfig});
  for (const std::string& part : GetParam().says) expect_parts(text, {part});
  EXPECT_FALSE(spec.dms);
}

INSTANTIATE_TEST_SUITE_P(
    Fields,
    RefusedAdapter,
    ::testing::Values(
        BadAdapter{"OfAnotherKind",  // such as a LoRA, whose file has the same name
                   [](Json& c) {
                     c = Json{{"peft_type", "LORA"}};
                   },
                   {"format", "dms-adapter"}},
        BadAdapter{"Format", [](Json& c) { c["format"] = "other"; }, {"format", "got other"}},
        BadAdapter{"Version", [](Json& c) { c["version"] = 2; }, {"version", "got 2"}},
        BadAdapter{"NoVersion", [](Json& c) { c.erase("version"); }, {"version", "missing"}},
        BadAdapter{"Family",
                   [](Json& c) { c["model_type"] = "qwen3"; },
                   {"model_type", "another model", "got qwen3, expected llama"}},
        BadAdapter{"Hidden",
                   [](Json& c) { c["hidden_size"] = 32; },
                   {"hidden_size", "another model", "got 32, expected 16"}},
        BadAdapter{"Layers",
                   [](Json& c) { c["num_hidden_layers"] = 3; },
                   {"num_hidden_layers", "got 3, expected 2"}},
        BadAdapter{"Heads",
                   [](Json& c) { c["num_key_value_heads"] = 4; },
                   {"num_key_value_heads", "got 4, expected 2"}},
        BadAdapter{"NoHidden", [](Json& c) { c.erase("hidden_size"); }, {"hidden_size", "missing"}},
        BadAdapter{"Neuron",
                   [](Json& c) { c["dms_separate_alpha"] = false; },
                   {"dms_separate_alpha", "expected true"}},
        BadAdapter{"Window", [](Json& c) { c["dms_window_size"] = -1; }, {"dms_window_size"}},
        BadAdapter{"Per", [](Json& c) { c["dms_alpha_per"] = "token"; }, {"dms_alpha_per"}},
        BadAdapter{"Shift", [](Json& c) { c["dms_decision_shift"] = 2; }, {"dms_decision_shift"}},
        BadAdapter{"AList", [](Json& c) { c = Json::array(); }, {"JSON object"}}),
    [](const auto& item) { return std::string(item.param.name); });

Json kvzap_config() {
  Json config = adapter_config();
  for (auto it = config.begin(); it != config.end();) {
    it = it.key().starts_with("dms_") ? config.erase(it) : std::next(it);
  }
  config["kvzap_threshold"] = -3.5;
  return config;
}

TEST(KvzapAdapter, WhatIsWrittenIsReadBack) {
  const TempFolder folder;
  for (const int64_t hidden : {0, 24}) {
    ModelSpec spec = spec_of(tiny_config());
    spec.kvzap =
        KvzapSpec{.threshold = -2.25, .window = 33, .sinks = 7, .hidden = hidden, .target_cr = 4.0};
    const std::filesystem::path out = folder.path() / ("zap" + std::to_string(hidden));
    const auto source = random_weights(spec, 5);
    write_kvzap_adapter(out, spec, *source);
    write_kvzap_adapter(out, spec, *source);  // an adapter may be replaced
    ModelSpec read = spec_of(tiny_config());
    apply_adapter(out, read);
    ASSERT_TRUE(read.kvzap);
    EXPECT_FALSE(read.dms);
    EXPECT_EQ(read.kvzap->threshold, -2.25);
    EXPECT_EQ(read.kvzap->window, 33);
    EXPECT_EQ(read.kvzap->sinks, 7);
    EXPECT_EQ(read.kvzap->hidden, hidden);
    EXPECT_EQ(read.kvzap->target_cr, 4.0);
    EXPECT_EQ(read.kvzap->origin, (out / kConfig).string());
    const std::vector<WeightName> names = adapter_weight_names(read);
    EXPECT_EQ(std::ssize(names), hidden == 0 ? 4 : 8);
    const auto weights = open_adapter(out, read);
    for (const WeightName& name : names) {
      std::vector<float> got(static_cast<size_t>(element_count(name)));
      std::vector<float> expected(got.size());
      const int64_t rows = name.shape.size() == 1 ? 1 : name.shape[0];
      weights->read_rows(name, 0, rows, got);
      source->read_rows(name, 0, rows, expected);
      EXPECT_EQ(got, expected) << name.name;
    }
  }
  folder.write("mine", "else");
  ModelSpec spec = spec_of(tiny_config());
  spec.kvzap = KvzapSpec{};
  expect_parts(
      input_error([&] { write_kvzap_adapter(folder.path(), spec, *random_weights(spec, 1)); }),
      {"is not an adapter's folder"});
}

TEST(KvzapAdapter, BadSettingsAreNamed) {
  struct Bad {
    const char* key;
    Json value;
    std::string says;
  };
  for (const Bad& bad : {Bad{"kvzap_threshold", Json(), "missing"},
                         Bad{"kvzap_threshold", "low", "kvzap_threshold"},
                         Bad{"kvzap_threshold", 1e30, "kvzap_threshold"},
                         Bad{"kvzap_window_size", -1, "kvzap_window_size"},
                         Bad{"kvzap_n_sink", 1.5, "kvzap_n_sink"},
                         Bad{"kvzap_hidden_size", 1 << 20, "kvzap_hidden_size"},
                         Bad{"kvzap_cr", -8, "kvzap_cr"},
                         Bad{"dms_window_size", 64, "kvzap_* and dms_* keys"},
                         Bad{"hidden_size", 32, "another model"}}) {
    const TempFolder folder;
    Json config = kvzap_config();
    config["kvzap_window_size"] = 128;
    config[bad.key] = bad.value;
    folder.write(kConfig, config.dump());
    ModelSpec spec = spec_of(tiny_config());
    expect_parts(input_error([&] { apply_adapter(folder.path(), spec); }), {kConfig, bad.says});
    EXPECT_FALSE(spec.kvzap);
  }
}

TEST(KvzapAdapter, ItsTensorsAreThoseOfItsForm) {
  const TempFolder folder;
  folder.write(kConfig, kvzap_config().dump());
  ModelSpec spec = spec_of(tiny_config());
  apply_adapter(folder.path(), spec);
  const std::vector<WeightName> weights = adapter_weight_names(spec);
  ASSERT_EQ(weights.front().name, "model.layers.0.self_attn.kvzap.weight");
  std::vector<WeightName> few(weights.begin(), weights.end() - 1);
  folder.write(kWeights, counting_file(few));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {kWeights, "model.layers.1.self_attn.kvzap.bias", "missing"});
  std::vector<TestTensor> tensors = counting_tensors(weights);
  const float bad = std::numeric_limits<float>::infinity();
  std::memcpy(tensors.front().bytes.data(), &bad, sizeof(bad));
  folder.write(kWeights, tensor_file(tensors));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {"tensor " + tensors.front().name, "not finite"});
  spec.kvzap->hidden = 24;
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {"self_attn.kvzap.0.weight", "missing"});
}

TEST(Adapter, MissingFilesAreNamed) {
  const TempFolder folder;
  ModelSpec spec = spec_of(tiny_config());
  expect_parts(input_error([&] { apply_adapter(folder.path() / "gone", spec); }),
               {"gone", kConfig, "cannot be read"});
  folder.write(kConfig, adapter_config().dump());
  apply_adapter(folder.path(), spec);
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {kWeights, "cannot be read"});
}

TEST(Adapter, ItsWeightsAreFinite) {
  const TempFolder folder;
  folder.write(kConfig, adapter_config().dump());
  ModelSpec spec = spec_of(tiny_config());
  apply_adapter(folder.path(), spec);
  std::vector<TestTensor> tensors = counting_tensors(adapter_weights());
  const float bad = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(tensors.back().bytes.data(), &bad, sizeof(bad));
  folder.write(kWeights, tensor_file(tensors));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {kWeights, "tensor " + tensors.back().name, "not finite", "got nan"});
}

TEST(Adapter, ItsTensorsAreExactlyThoseOfTheBase) {
  const TempFolder folder;
  folder.write(kConfig, adapter_config().dump());
  ModelSpec spec = spec_of(tiny_config());
  apply_adapter(folder.path(), spec);
  std::vector<WeightName> weights = adapter_weights();
  weights.pop_back();
  folder.write(kWeights, counting_file(weights));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {kWeights, "model.layers.1.self_attn.dms_proj_alpha_norm.weight", "missing"});
  folder.write(kWeights, counting_file(adapter_weights(true)));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {kWeights, "dms_proj_alpha.bias", "no place in the base"});
  weights = adapter_weights();
  weights.front().shape = {3, 16};
  folder.write(kWeights, counting_file(weights));
  expect_parts(input_error([&] { open_adapter(folder.path(), spec); }),
               {"wrong shape", "got [3, 16], expected [2, 16]"});
}

}  // namespace
}  // namespace dms
