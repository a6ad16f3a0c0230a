#include "model/spec/adapter.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "dms/error.h"
#include "model/spec/dms_metadata.h"
#include "model/spec/kvzap_adapter.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"
#include "model/spec/triattention_adapter.h"

namespace dms {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kMaxSize = int64_t{1} << 30;

class LayeredWeights final : public WeightSource {
 public:
  LayeredWeights(std::unique_ptr<WeightSource> base, std::unique_ptr<WeightSource> adapter)
      : base_(std::move(base)), adapter_(std::move(adapter)) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    source_of(weight).read_rows(weight, first, count, out);
  }

  std::optional<CodeGroups> code_groups(const WeightName& weight) const override {
    return source_of(weight).code_groups(weight);
  }

  void read_codes(const WeightName& weight,
                  int64_t first,
                  int64_t count,
                  const CodeRows& out) const override {
    source_of(weight).read_codes(weight, first, count, out);
  }

 private:
  const WeightSource& source_of(const WeightName& weight) const {
    return is_adapter(weight.role) ? *adapter_ : *base_;
  }

  std::unique_ptr<WeightSource> base_;
  std::unique_ptr<WeightSource> adapter_;
};

void check_format(const JsonFields& config) {
  const std::string format = config.string_or("format", "");
  if (format != kAdapterFormat) {
    throw InputError({.where = config.where() + ": format",
                      .what = "is not an adapter",
                      .got = format.empty() ? "nothing" : format.substr(0, 60),
                      .expected = std::string(kAdapterFormat)});
  }
  config.integer("version", kAdapterVersion, kAdapterVersion);
}

void check_base(const JsonFields& config, const ModelSpec& spec) {
  const auto refuse = [&](const char* key, const std::string& got, const std::string& expected) {
    throw InputError({.where = config.where() + ": " + key,
                      .what = "the adapter was made for another model",
                      .got = got,
                      .expected = expected});
  };
  const std::string model_type = config.string("model_type");
  if (model_type != spec.model_type) {
    refuse("model_type", model_type.substr(0, 60), spec.model_type);
  }
  for (const auto& [key, size] : {std::pair{"num_hidden_layers", spec.layers},
                                  std::pair{"hidden_size", spec.hidden},
                                  std::pair{"num_key_value_heads", spec.kv_heads}}) {
    const int64_t got = config.integer(key, 1, kMaxSize);
    if (got != size) refuse(key, std::to_string(got), std::to_string(size));
  }
}

void check_one_way(const JsonFields& config, bool dms, bool kvzap, bool triattention) {
  std::string given;
  for (const auto& [is_given, keys] : {std::pair{kvzap, "kvzap_*"},
                                       std::pair{triattention, "triattention_*"},
                                       std::pair{dms, "dms_*"}}) {
    if (is_given) given += (given.empty() ? "" : " and ") + std::string(keys);
  }
  if (dms + kvzap + triattention <= 1) return;
  throw InputError({.where = config.where(),
                    .what = "says two ways to evict",
                    .got = given + " keys",
                    .expected = "one of them"});
}

/// A tensor that the base has no place for, such as a bias, would be lost without a word.
void check_no_others(const std::filesystem::path& path, const std::vector<WeightName>& weights) {
  const SafetensorsFile file(path);
  for (const auto& [name, entry] : file.tensors()) {
    if (std::ranges::find(weights, name, &WeightName::name) != weights.end()) continue;
    throw InputError({.where = path.string() + ": tensor " + name,
                      .what = "has no place in the base model",
                      .expected = "the weights that the settings ask for in its layers"});
  }
}

}  // namespace

std::vector<WeightName> adapter_weight_names(const ModelSpec& spec) {
  std::vector<WeightName> weights;
  std::ranges::copy_if(weight_names(spec), std::back_inserter(weights), [](const WeightName& w) {
    return is_adapter(w.role);
  });
  return weights;
}

void apply_adapter(const std::filesystem::path& folder, ModelSpec& spec) {
  if (spec.dms) {
    throw InputError({.where = folder.string(),
                      .what = "the model already has trained eviction",
                      .got = "settings from " + spec.dms->origin,
                      .expected = "a plain base model"});
  }
  const std::filesystem::path file = folder / kAdapterConfigFile;
  const Json root = read_json_file(file, kMaxConfigBytes);
  const JsonFields config(root, file.string());
  check_format(config);
  check_base(config, spec);
  std::optional<DmsSpec> dms = dms_from_config(config);
  std::optional<KvzapSpec> kvzap = kvzap_from_config(config);
  std::optional<TriattentionSpec> triattention = triattention_from_config(config, spec);
  check_one_way(config, dms.has_value(), kvzap.has_value(), triattention.has_value());
  if (kvzap || triattention) {
    spec.kvzap = std::move(kvzap);
    spec.triattention = std::move(triattention);
    return;
  }
  if (!dms || dms->source != DmsSource::adapter) {
    throw InputError({.where = file.string() + ": dms_separate_alpha",
                      .what = dms ? "bad value" : "missing",
                      .expected = "true"});
  }
  spec.dms = std::move(dms);
}

std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                           const ModelSpec& spec) {
  const std::filesystem::path path = folder / kAdapterWeightsFile;
  const std::vector<WeightName> weights = adapter_weight_names(spec);
  std::unique_ptr<WeightSource> source = open_weight_file(path, weights);
  check_no_others(path, weights);
  return source;
}

std::unique_ptr<WeightSource> layer_weights(std::unique_ptr<WeightSource> base,
                                            std::unique_ptr<WeightSource> adapter) {
  return std::make_unique<LayeredWeights>(std::move(base), std::move(adapter));
}

}  // namespace dms
