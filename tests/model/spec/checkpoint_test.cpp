// Whole folders: one file, shards, and what may be wrong with them.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::string open_error(const TempFolder& folder, const ModelSpec& spec) {
  return input_error([&] { open_checkpoint(folder.path(), spec); });
}

/// All weights but the last in a.safetensors, the last in b.safetensors.
class TwoShards {
 public:
  explicit TwoShards(const ModelSpec& spec) : weights_(weight_names(spec)) {
    const auto last = weights_.end() - 1;
    folder_.write("a.safetensors", counting_file({weights_.begin(), last}));
    folder_.write("b.safetensors", counting_file({last, weights_.end()}));
    for (const WeightName& weight : weights_) map_[weight.name] = "a.safetensors";
    map_[last->name] = "b.safetensors";
    write_index(map_);
  }

  const TempFolder& folder() const { return folder_; }
  const std::vector<WeightName>& weights() const { return weights_; }
  const Json& map() const { return map_; }
  void write_index(const Json& map) const {
    folder_.write(kIndex, Json{{"weight_map", map}}.dump());
  }

 private:
  TempFolder folder_;
  std::vector<WeightName> weights_;
  Json map_;
};

TEST(Checkpoint, RowsAreReadFromOneFileAndFromShards) {
  const ModelSpec spec = spec_of(tiny_config());
  const std::vector<WeightName> weights = weight_names(spec);
  const TempFolder single;
  single.write(kSingle, counting_file(weights));
  const TwoShards sharded(spec);
  for (const TempFolder* folder : {&single, &sharded.folder()}) {
    const auto source = open_checkpoint(folder->path(), spec);
    for (const WeightName& weight : weights) {
      const int64_t columns = weight.shape.back();
      const int64_t row = weight.shape.size() == 1 ? 0 : weight.shape[0] - 1;
      std::vector<float> values(static_cast<size_t>(columns));
      source->read_rows(weight, row, 1, values);
      EXPECT_EQ(values.front(), static_cast<float>(row * columns)) << weight.name;
      EXPECT_EQ(values.back(), static_cast<float>((row + 1) * columns - 1)) << weight.name;
    }
  }
}

TEST(Checkpoint, AFileCutShortWhileItIsReadIsAnError) {
  const ModelSpec spec = spec_of(tiny_config());
  const std::vector<WeightName> weights = weight_names(spec);
  const TempFolder folder;
  const auto file = folder.write(kSingle, counting_file(weights));
  const auto source = open_checkpoint(folder.path(), spec);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  const auto read_all = [&] {
    for (const WeightName& weight : weights) {
      std::vector<float> values(static_cast<size_t>(element_count(weight)));
      source->read_rows(weight, 0, weight.shape.size() == 1 ? 1 : weight.shape[0], values);
    }
  };
  expect_parts(testing_support::run_error(read_all), {kSingle, "was cut short while it was read"});
}

TEST(Checkpoint, MissingAndMisshapenWeightsAreNamed) {
  const ModelSpec spec = spec_of(tiny_config());
  const TempFolder folder;
  expect_parts(open_error(folder, spec), {"has no weights", "model.safetensors"});
  std::vector<WeightName> weights = weight_names(spec);
  const WeightName last = weights.back();
  weights.pop_back();
  folder.write(kSingle, counting_file(weights));
  expect_parts(open_error(folder, spec), {"tensor " + last.name, "missing", "expected shape"});
  weights.push_back(last);
  weights.back().shape[0] += 1;
  folder.write(kSingle, counting_file(weights));
  expect_parts(open_error(folder, spec),
               {kSingle, last.name, "wrong shape", "got [33, 16]", "expected [32, 16]"});
}

TEST(Checkpoint, AMissingHeadSaysWhatToSet) {
  const ModelSpec spec = spec_of(tiny_config());
  std::vector<WeightName> weights = weight_names(spec);
  std::erase_if(weights, [](const WeightName& w) { return w.role == WeightRole::head; });
  const TempFolder folder;
  folder.write(kSingle, counting_file(weights));
  expect_parts(open_error(folder, spec),
               {"tensor lm_head.weight: missing", "set tie_word_embeddings to true"});
  std::filesystem::rename(folder.path() / kSingle, folder.path() / "a.safetensors");
  Json map;
  for (const WeightName& weight : weights) map[weight.name] = "a.safetensors";
  folder.write(kIndex, Json{{"weight_map", map}}.dump());
  expect_parts(open_error(folder, spec),
               {"lm_head.weight: missing", "set tie_word_embeddings to true"});
}

TEST(Checkpoint, OtherFormatsAreNamedWithWhatToDo) {
  const ModelSpec spec = spec_of(tiny_config());
  struct Case {
    std::vector<const char*> files;
    const char* got;
    const char* hint;
  };
  for (const Case& c : {Case{{"pytorch_model.bin"}, "got pytorch_model.bin", "save_pretrained"},
                        Case{{"model-q4.gguf"}, "got model-q4.gguf", "name the .gguf file itself"},
                        Case{{"consolidated.safetensors"}, "consolidated", "Hugging Face's layout"},
                        Case{{"model-00001-of-00002.safetensors"}, "model-00001", "index.json"},
                        Case{{"adapter_model.safetensors"}, "adapter_model", "LoRA"},
                        Case{{"a.bin", "b.bin", "c.bin", "d.bin", "e.bin"},
                             "got a.bin, b.bin, c.bin and 2 more",
                             "save_pretrained"}}) {
    const TempFolder folder;
    for (const char* file : c.files) folder.write(file, "");
    expect_parts(open_error(folder, spec), {"has no weights", c.got, c.hint});
  }
}

TEST(Checkpoint, EvictionWeightsAreFinite) {
  Json config = tiny_config("qwen2");
  config["dms_separate_alpha"] = true;
  const ModelSpec spec = spec_of(config);
  const std::vector<WeightName> weights = weight_names(spec);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const char* kind : {".weight", "_norm.weight", ".bias"}) {
      const std::string name = std::string("model.layers.1.self_attn.dms_proj_alpha") + kind;
      std::vector<TestTensor> tensors = counting_tensors(weights);
      const auto spoilt = std::ranges::find(tensors, name, &TestTensor::name);
      ASSERT_NE(spoilt, tensors.end()) << name;
      std::memcpy(spoilt->bytes.data() + sizeof(bad), &bad, sizeof(bad));
      const TempFolder folder;
      folder.write(kSingle, tensor_file(tensors));
      expect_parts(open_error(folder, spec),
                   {kSingle, "tensor " + name, "not finite at place 1", "got "});
    }
  }
}

TEST(Checkpoint, AShardMustBeAFileOfTheFolder) {
  const ModelSpec spec = spec_of(tiny_config());
  const TempFolder folder;
  for (const char* name : {"../x", "/etc/passwd", "a/b", "..", ".", ""}) {
    folder.write(kIndex, Json{{"weight_map", {{"w", name}}}}.dump());
    expect_parts(open_error(folder, spec), {kIndex, "weight_map", "not a plain file name"});
  }
  folder.write(kIndex, R"({"weight_map": {"w": 7}})");
  expect_parts(open_error(folder, spec), {"weight_map: w", "got 7", "a string"});
  folder.write(kIndex, "{}");
  expect_parts(open_error(folder, spec), {"weight_map", "missing"});
}

TEST(Checkpoint, ATensorInTwoShardsIsRefused) {
  const ModelSpec spec = spec_of(tiny_config());
  const TempFolder folder;
  const TwoShards shards(spec);
  shards.folder().write("b.safetensors", counting_file(shards.weights()));
  expect_parts(open_error(shards.folder(), spec),
               {"b.safetensors: tensor ", "is also in another shard"});
}

TEST(Checkpoint, TheIndexMustNameEveryWeight) {
  const ModelSpec spec = spec_of(tiny_config());
  const TwoShards shards(spec);
  for (const WeightName& weight : shards.weights()) {
    Json map = shards.map();
    map.erase(weight.name);
    shards.write_index(map);
    expect_parts(open_error(shards.folder(), spec),
                 {std::string(kIndex) + ": weight_map: " + weight.name, "missing"});
  }
}

TEST(Checkpoint, TheIndexMustNameTheShardThatHoldsTheWeight) {
  const ModelSpec spec = spec_of(tiny_config());
  const TwoShards shards(spec);
  Json map = shards.map();
  const std::string& first = shards.weights().front().name;
  map[first] = "b.safetensors";
  shards.write_index(map);
  expect_parts(open_error(shards.folder(), spec),
               {std::string(kIndex) + ": weight_map: " + first,
                "another file",
                "got b.safetensors",
                "expected a.safetensors"});
  map[first] = "c.safetensors";
  shards.write_index(map);
  expect_parts(open_error(shards.folder(), spec), {"c.safetensors", "cannot be read"});
}

TEST(Checkpoint, AWeightThatNoShardHoldsIsNamed) {
  const ModelSpec spec = spec_of(tiny_config());
  const TwoShards shards(spec);
  const std::vector<WeightName>& weights = shards.weights();
  shards.folder().write("a.safetensors", counting_file({weights.begin() + 1, weights.end() - 1}));
  expect_parts(open_error(shards.folder(), spec),
               {shards.folder().path().string(), "tensor " + weights.front().name, "missing"});
}

TEST(Checkpoint, PathsThatCannotBeLookedUpAreBadInputs) {
  const ModelSpec spec = spec_of(tiny_config());
  for (const char* name : {kSingle, kIndex}) {
    const TempFolder folder;
    std::filesystem::create_symlink(name, folder.path() / name);  // to itself
    expect_parts(open_error(folder, spec), {name, "cannot be read"});
  }
}

}  // namespace
}  // namespace dms
