// Absurd, mistyped and missing values of config.json: each error names file, field, what was found
// and what was expected.

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "model/spec/load.h"
#include "model/spec/tiny_config.h"
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

struct BadValue {
  const char* key;
  const char* value;  // JSON
  const char* expected;
};

/// Fields that older families lack or call otherwise.
bool is_llamas(std::string_view key) {
  constexpr std::array<std::string_view, 5> kKeys{
      "num_key_value_heads", "head_dim", "intermediate_size", "rms_norm_eps", "rope_theta"};
  return std::ranges::find(kKeys, key) != kKeys.end();
}

/// Fields that MPT too calls otherwise.
bool is_size(std::string_view key) {
  constexpr std::array<std::string_view, 4> kKeys{
      "num_hidden_layers", "hidden_size", "num_attention_heads", "max_position_embeddings"};
  return std::ranges::find(kKeys, key) != kKeys.end();
}

class BadConfig : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadConfig, IsRefusedInEveryFamily) {
  ASSERT_FALSE(supported_model_types().empty());
  for (const std::string_view model_type : supported_model_types()) {
    if (is_llamas(GetParam().key) && !has_llama_names(model_type)) continue;
    if (model_type == "mpt" && is_size(GetParam().key)) continue;
    Json config = tiny_config(model_type);
    config[GetParam().key] = Json::parse(GetParam().value);
    expect_parts(input_error([&] { spec_of(config); }),
                 {"config.json: " + std::string(GetParam().key),
                  "got " + Json::parse(GetParam().value).dump(),
                  GetParam().expected});
  }
}

INSTANTIATE_TEST_SUITE_P(Values,
                         BadConfig,
                         ::testing::Values(BadValue{"num_hidden_layers", "0", "1 to"},
                                           BadValue{"num_hidden_layers", "1000000", "1 to"},
                                           BadValue{"num_hidden_layers", "\"two\"", "an integer"},
                                           BadValue{"hidden_size", "-16", "1 to"},
                                           BadValue{"hidden_size", "16.5", "an integer"},
                                           BadValue{"hidden_size", "9223372036854775808", "1 to"},
                                           BadValue{"num_attention_heads", "0", "1 to"},
                                           BadValue{"num_key_value_heads", "3", "a divisor of 4"},
                                           BadValue{"num_key_value_heads", "0", "1 to"},
                                           BadValue{"head_dim", "3", "an even number"},
                                           BadValue{"head_dim", "100000", "1 to"},
                                           BadValue{"intermediate_size", "true", "an integer"},
                                           BadValue{"vocab_size", "1e300", "an integer"},
                                           BadValue{"max_position_embeddings", "[]", "an integer"},
                                           BadValue{"rms_norm_eps", "-1.0", "a number"},
                                           BadValue{"tie_word_embeddings", "1", "true or false"},
                                           BadValue{"dms_window_size", "-1", "0 to"},
                                           BadValue{"dms_alpha_scale", "1e10", "a number"},
                                           BadValue{"dms_decision_shift", "2", "0 to 1"},
                                           BadValue{"dms_alpha_bias", "1", "true or false"},
                                           BadValue{"dms_n_sink", "-1", "0 to"},
                                           BadValue{
                                               "dms_separate_alpha", "\"no\"", "true or false"},
                                           BadValue{"rope_theta", "0.0", "a number"}),
                         [](const auto& item) {
                           return std::string(item.param.key) + "_" + std::to_string(item.index);
                         });

TEST(ConfigError, EveryRequiredFieldIsMissed) {
  for (const char* key : {"model_type",
                          "num_hidden_layers",
                          "hidden_size",
                          "num_attention_heads",
                          "intermediate_size",
                          "vocab_size"}) {
    Json config = tiny_config();
    config.erase(key);
    expect_parts(input_error([&] { spec_of(config); }),
                 {std::string("config.json: ") + key, "missing", "expected "});
  }
}

TEST(ConfigError, NamesAreTakenFromAList) {
  const auto error = [](const char* key, const char* value) {
    Json config = tiny_config();
    config[key] = value;
    return input_error([&] { spec_of(config); });
  };
  expect_parts(error("model_type", "gpt9"), {"model_type", "got gpt9", "llama, mistral"});
  expect_parts(error("hidden_act", "tanh9"), {"hidden_act", "got tanh9", "silu"});
  expect_parts(error("dms_alpha_per", "token"), {"dms_alpha_per", "got token", "head or layer"});
}

TEST(ConfigError, AnUnknownFamilyIsNamedWithItsClass) {
  Json config = tiny_config("bloom");
  config["architectures"] = {"BloomForCausalLM"};
  expect_parts(input_error([&] { spec_of(config); }),
               {"model_type", "got bloom", "BloomForCausalLM", "llama, mistral"});
  config.erase("model_type");
  expect_parts(input_error([&] { spec_of(config); }),
               {"model_type: missing", "BloomForCausalLM", "llama, mistral"});
}

TEST(ConfigError, QuantisedWeightsAreNamed) {
  const TempFolder folder;
  Json config = tiny_config();
  const auto load = [&](const Json& settings) {
    config["quantization_config"] = settings;
    folder.write("config.json", config.dump());
    return load_spec(folder.path(), MetadataScope::with_parent);
  };
  for (const char* method : {"bitsandbytes", "fp8", "hqq"}) {
    expect_parts(input_error([&] {
                   load({{"quant_method", method}, {"bits", 4}});
                 }),
                 {"config.json: quantization_config", method, "F32, F16 or BF16"});
  }
  expect_parts(input_error([&] { load({{"load_in_4bit", true}}); }), {"load_in_4bit"});
  EXPECT_NO_THROW(load(nullptr));
  EXPECT_NO_THROW(load(Json::object()));
}

TEST(ConfigError, AModelThatFitsNoMachineIsRefused) {
  Json config = tiny_config();
  config["num_hidden_layers"] = 4096;
  config["hidden_size"] = 1 << 20;
  config["intermediate_size"] = 1 << 20;
  expect_parts(input_error([&] { spec_of(config); }), {"config.json", "parameters", "at most"});
}

TEST(ConfigError, AFolderWithoutConfigIsNamed) {
  const TempFolder folder;
  const auto load = [](const std::filesystem::path& path) {
    return input_error([&] { load_spec(path, MetadataScope::with_parent); });
  };
  expect_parts(load(folder.path() / "absent"), {"absent", "no such model folder"});
  expect_parts(load(folder.path()), {folder.path().string(), "has no config.json"});
  folder.write("config.json", "{\"model_type\": ");
  expect_parts(load(folder.path()), {"config.json", "malformed JSON"});
  folder.write("config.json", "[]");
  expect_parts(load(folder.path()), {"config.json", "got []", "a JSON object"});
}

TEST(ConfigError, AFolderOfAnotherFormatSaysWhichAndWhatToDo) {
  const auto load = [](const std::filesystem::path& path) {
    return input_error([&] { load_spec(path, MetadataScope::with_parent); });
  };
  const TempFolder folder;
  expect_parts(load(folder.write("model.gguf", "GGUF")), {"model.gguf", "is a file"});
  expect_parts(load(folder.path()),
               {"has no config.json", "got model.gguf", "name the .gguf file itself"});
  const TempFolder adapter;
  adapter.write("adapter.safetensors", "");
  expect_parts(load(adapter.path()), {"has no config.json", "--adapter"});
}

TEST(ConfigError, PathsThatCannotBeLookedUpAreBadInputs) {
  const auto load = [](const std::filesystem::path& path) {
    return input_error([&] { load_spec(path, MetadataScope::with_parent); });
  };
  const std::string long_name(300, 'n');
  const TempFolder folder;
  expect_parts(load(folder.path() / long_name), {long_name, "cannot be read"});
  const std::filesystem::path circle = folder.path() / "circle";
  std::filesystem::create_symlink(circle, circle);
  expect_parts(load(circle), {"circle", "cannot be read"});
  for (const char* name : {"config.json", "generation_config.json", "dms_metadata.json"}) {
    const TempFolder parent;
    parent.write("model/config.json", tiny_config().dump());
    const std::filesystem::path link = parent.path() / "model" / name;
    std::filesystem::remove(link);
    std::filesystem::create_symlink(link.filename(), link);
    expect_parts(load(parent.path() / "model"), {link.filename().string(), "cannot be read"});
  }
}

}  // namespace
}  // namespace dms
