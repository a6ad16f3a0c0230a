// Whole folders: one file, shards, and what may be wrong with them.

#include <filesystem>
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
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::spec_of;
using testing_support::TempFolder;
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
