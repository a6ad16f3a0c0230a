#pragma once
// A small base model on the disk, put together without the code under test.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"
#include "model/spec/load.h"
#include "model/spec/safetensors_file.h"
#include "model/spec/tiny_config.h"
#include "support/temp_folder.h"

namespace dms::testing_support {

/// Random weights, biases and norms included; the same for the same name and seed.
class NoiseWeights final : public WeightSource {
 public:
  explicit NoiseWeights(uint64_t seed) : seed_(seed) {}

  std::vector<float> all(const WeightName& weight) const {
    std::mt19937_64 random(std::hash<std::string>()(weight.name) ^ seed_);
    std::normal_distribution<float> normal(0.0f, 0.3f);
    std::vector<float> values(static_cast<size_t>(element_count(weight)));
    for (float& value : values) value = normal(random);
    return values;
  }
  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const std::vector<float> values = all(weight);
    const int64_t columns = weight.shape.back();
    std::copy_n(values.begin() + first * columns, count * columns, out.begin());
  }

 private:
  uint64_t seed_;
};

inline std::string bf16_bytes(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    const BFloat16 rounded = to_bf16(value);
    bytes.append(reinterpret_cast<const char*>(&rounded), sizeof(rounded));
  }
  return bytes;
}

/// Weights in bf16 and the files around them.
class BaseFolder {
 public:
  explicit BaseFolder(Json config) : path_(folder_.path() / "base") {
    config["torch_dtype"] = "bfloat16";
    config["architectures"] = Json::array({"SomeForCausalLM"});
    folder_.write("base/config.json", config.dump());
    spec_ = load_spec(path_, MetadataScope::folder_only);
    Json header = Json::object();
    std::string data;
    for (const WeightName& weight : weight_names(spec_)) {
      const std::string bytes = bf16_bytes(weights_.all(weight));
      header[weight.name] =
          entry("BF16", weight.shape, std::ssize(data), std::ssize(data) + std::ssize(bytes));
      data += bytes;
    }
    folder_.write("base/model.safetensors", raw_file(header.dump(), data));
    folder_.write("base/tokenizer_config.json", "{\"a\": 1}");
    folder_.write("base/generation_config.json", "{\"eos_token_id\": [3, 4]}");
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path beside(const std::string& name) const { return folder_.path() / name; }
  const TempFolder& folder() const { return folder_; }
  const ModelSpec& spec() const { return spec_; }
  const NoiseWeights& weights() const { return weights_; }
  std::unique_ptr<WeightSource> open() const { return open_checkpoint(path_, spec_); }

 private:
  TempFolder folder_;
  std::filesystem::path path_;
  ModelSpec spec_;
  NoiseWeights weights_{1};
};

inline std::vector<float> read_all(const WeightSource& source, const WeightName& weight) {
  std::vector<float> values(static_cast<size_t>(element_count(weight)));
  source.read_rows(weight, 0, weight.shape.size() == 1 ? 1 : weight.shape[0], values);
  return values;
}

}  // namespace dms::testing_support
