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

TEST(Checkpoint, RowsAreReadFromOneFileAndFromShards) {
  const ModelSpec spec = spec_of(tiny_config());
  const std::vector<WeightName> weights = weight_names(spec);
  const TempFolder single;
  single.write(kSingle, counting_file(weights));
  const TempFolder sharded;
  const auto half = weights.begin() + std::ssize(weights) / 2;
  sharded.write("a.safetensors", counting_file({weights.begin(), half}));
  sharded.write("b.safetensors", counting_file({half, weights.end()}));
  Json map;
  for (auto it = weights.begin(); it != weights.end(); ++it) {
    map[it->name] = it < half ? "a.safetensors" : "b.safetensors";
  }
  sharded.write(kIndex, Json{{"weight_map", map}}.dump());
  for (const TempFolder* folder : {&single, &sharded}) {
    const auto source = open_checkpoint(folder->path(), spec);
    for (const WeightName& weight : weights) {
      const int64_t columns = weight.shape.back();
      const int64_t row = weight.shape.size() == 1 ? 0 : weight.shape[0] - 1;
      std::vector<float> values(static_cast<size_t>(columns));
      source->read_rows(weight, row, 1, values);
      EXPECT_EQ(values.front(), static_cast<float>(row * columns)) << weight.name;
      EXPECT_EQ(values.back(), static_cast<float>((row + 1) * columns - 1)) << weight.name;
      source->release(weight);
    }
  }
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
  folder.write(kIndex, R"({"weight_map": {"w": "gone.safetensors"}})");
  expect_parts(open_error(folder, spec), {"gone.safetensors", "cannot be read"});
  folder.write(kIndex, R"({"weight_map": {"w": 7}})");
  expect_parts(open_error(folder, spec), {"weight_map: w", "got 7", "a string"});
  folder.write(kIndex, "{}");
  expect_parts(open_error(folder, spec), {"weight_map", "missing"});
}

TEST(Checkpoint, ATensorInTwoShardsIsRefused) {
  const ModelSpec spec = spec_of(tiny_config());
  const TempFolder folder;
  for (const char* name : {"a", "b"}) folder.write(name, counting_file(weight_names(spec)));
  folder.write(kIndex, R"({"weight_map": {"x": "a", "y": "b"}})");
  expect_parts(open_error(folder, spec), {"is also in another shard"});
}

}  // namespace
}  // namespace dms
