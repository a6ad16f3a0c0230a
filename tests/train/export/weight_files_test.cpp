#include "train/export/weight_files.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "base/json.h"
#include "model/spec/safetensors.h"
#include "model/spec/safetensors_file.h"
#include "train/export/base_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::NoiseWeights;
using testing_support::stored_bytes;
using testing_support::TempFolder;

WeightName weight(const std::string& name, std::vector<int64_t> shape) {
  return {.role = WeightRole::up, .layer = -1, .name = name, .shape = std::move(shape)};
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) {
    names.insert(item.path().filename().string());
  }
  return names;
}

TEST(WeightFiles, ShardsAreFilledInOrderAndIndexed) {
  const TempFolder folder;
  const std::vector<WeightName> weights{weight("a", {10}),
                                        weight("b", {10}),      // a + b: 40 bytes, just fits
                                        weight("c", {1}),       // one value too many
                                        weight("big", {8, 8}),  // alone above the limit
                                        weight("d", {2, 3})};
  write_weight_files(
      folder.path(), weights, NoiseWeights(3), {.dtype = DType::bf16, .max_shard_bytes = 40});
  const auto shard = [](int i) {
    return "model-0000" + std::to_string(i) + "-of-00004.safetensors";
  };
  EXPECT_EQ(names_in(folder.path()),
            (std::set<std::string>{
                shard(1), shard(2), shard(3), shard(4), "model.safetensors.index.json"}));
  const Json index =
      Json::parse(read_text_file(folder.path() / "model.safetensors.index.json", 10000));
  EXPECT_EQ(index["metadata"]["total_size"], 2 * (10 + 10 + 1 + 64 + 6));
  const Json expected{
      {"a", shard(1)}, {"b", shard(1)}, {"c", shard(2)}, {"big", shard(3)}, {"d", shard(4)}};
  EXPECT_EQ(index["weight_map"], expected);
  for (const auto& [name, file] : expected.items()) {
    const SafetensorsFile shard_file(folder.path() / file.get<std::string>());
    EXPECT_TRUE(shard_file.tensors().contains(name));
  }
}

TEST(WeightFiles, OneFileNeedsNoIndex) {
  const TempFolder folder;
  write_weight_files(folder.path(), std::vector{weight("a", {4, 4})}, NoiseWeights(1), {});
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"model.safetensors"});
}

TEST(WeightFiles, LargeWeightsAreReadInPiecesOfWholeRows) {
  const TempFolder folder;
  const WeightName wide = weight("wide", {3, 700'000});  // two pieces of a row
  const WeightName tall = weight("tall", {300'001, 7});  // pieces of many rows and a rest
  const std::vector<WeightName> weights{wide, tall};
  const NoiseWeights source(5);
  write_weight_file(folder.path() / "w", weights, source, DType::f32);
  const SafetensorsFile file(folder.path() / "w");
  for (const WeightName& name : weights) {
    const std::vector<std::byte> bytes = stored_bytes(file, name.name);
    const std::vector<float> expected = source.all(name);
    EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span(expected)))) << name.name;
  }
}

}  // namespace
}  // namespace dms::train
