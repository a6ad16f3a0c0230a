#include "train/export/weight_files.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/output_file.h"
#include "model/spec/safetensors_writer.h"
#include "model/spec/weight_pieces.h"

namespace dms::train {
namespace {

constexpr size_t kShardDigits = 5;

using Shards = std::vector<std::span<const WeightName>>;

int64_t bytes_of(const WeightName& weight, DType dtype) {
  return element_count(weight) * dtype_bytes(dtype);
}

/// Consecutive weights, as many to a file as fit.
Shards split(std::span<const WeightName> weights, const WeightFileOptions& options) {
  Shards shards;
  size_t begin = 0;
  int64_t bytes = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t more = bytes_of(weights[i], options.dtype);
    if (i > begin && bytes + more > options.max_shard_bytes) {
      shards.push_back(weights.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += more;
  }
  shards.push_back(weights.subspan(begin));
  return shards;
}

std::string padded(size_t number) {
  const std::string digits = std::to_string(number);
  return std::string(kShardDigits - std::min(kShardDigits, digits.size()), '0') + digits;
}

std::string shard_name(size_t index, size_t count) {
  return "model-" + padded(index + 1) + "-of-" + padded(count) + ".safetensors";
}

void write_index(const std::filesystem::path& folder, const Shards& shards, DType dtype) {
  int64_t total = 0;
  Json map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const WeightName& weight : shards[i]) {
      map[weight.name] = shard_name(i, shards.size());
      total += bytes_of(weight, dtype);
    }
  }
  const Json index{{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_text_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace

void write_weight_file(const std::filesystem::path& file,
                       std::span<const WeightName> weights,
                       const WeightSource& source,
                       DType dtype) {
  std::vector<TensorDeclaration> tensors;
  for (const WeightName& weight : weights) {
    tensors.push_back({.name = weight.name,
                       .dtype = std::string(safetensors_name(dtype)),
                       .shape = weight.shape});
  }
  SafetensorsWriter writer(file, tensors);
  for (const WeightName& weight : weights) {
    for_each_piece(weight, source, [&](std::span<const float> rows) { writer.write_floats(rows); });
  }
  writer.close();
}

void write_weight_files(const std::filesystem::path& folder,
                        std::span<const WeightName> weights,
                        const WeightSource& source,
                        const WeightFileOptions& options) {
  const Shards shards = split(weights, options);
  if (shards.size() == 1) {
    write_weight_file(folder / "model.safetensors", weights, source, options.dtype);
    return;
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    write_weight_file(folder / shard_name(i, shards.size()), shards[i], source, options.dtype);
  }
  write_index(folder, shards, options.dtype);
}

}  // namespace dms::train
