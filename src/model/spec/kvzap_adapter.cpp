#include "model/spec/kvzap_adapter.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_status.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "base/output_folder.h"
#include "base/replaceable.h"
#include "dms/error.h"
#include "model/spec/adapter.h"
#include "model/spec/safetensors_writer.h"
#include "model/spec/weight_pieces.h"

namespace dms {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxHidden = int64_t{1} << 16;
constexpr double kMaxNumber = 1e9;
constexpr int64_t kMaxConfigBytes = 1 << 20;

constexpr const char* kThreshold = "kvzap_threshold";
constexpr const char* kWindow = "kvzap_window_size";
constexpr const char* kSinks = "kvzap_n_sink";
constexpr const char* kHidden = "kvzap_hidden_size";
constexpr const char* kRatio = "kvzap_cr";
constexpr std::array kKeys{kThreshold, kWindow, kSinks, kHidden, kRatio};

Json config_of(const ModelSpec& spec) {
  return {{"format", kAdapterFormat},
          {"version", kAdapterVersion},
          {"model_type", spec.model_type},
          {"hidden_size", spec.hidden},
          {"num_hidden_layers", spec.layers},
          {"num_key_value_heads", spec.kv_heads},
          {kThreshold, spec.kvzap->threshold},
          {kWindow, spec.kvzap->window},
          {kSinks, spec.kvzap->sinks},
          {kHidden, spec.kvzap->hidden},
          {kRatio, spec.kvzap->target_cr}};
}

/// A trained adapter's folder has files of the same names, and took hours.
void refuse_trained(const std::filesystem::path& config) {
  if (!path_exists(config)) return;
  if (read_text_file(config, kMaxConfigBytes).find(kThreshold) != std::string::npos) return;
  throw InputError({.where = config.string(),
                    .what = "another adapter, which would be lost",
                    .expected = "scores of an earlier calibration, or a new folder"});
}

}  // namespace

std::optional<KvzapSpec> kvzap_from_config(const JsonFields& config) {
  const bool any = std::ranges::any_of(kKeys, [&](const char* key) { return config.has(key); });
  if (!any) return std::nullopt;
  KvzapSpec spec{.origin = config.where()};
  spec.threshold = config.number(kThreshold, -kMaxNumber, kMaxNumber);
  spec.window = config.integer_or(kWindow, spec.window, 0, kMaxTokens);
  spec.sinks = config.integer_or(kSinks, spec.sinks, 0, kMaxTokens);
  spec.hidden = config.integer_or(kHidden, spec.hidden, 0, kMaxHidden);
  spec.target_cr = config.number_or(kRatio, 0.0, 0.0, kMaxNumber);
  return spec;
}

void check_kvzap_output(const std::filesystem::path& out) {
  const std::filesystem::path target = resolve_output(out);
  refuse_trained(target / kAdapterConfigFile);
  check_replaceable(target, kAdapterConfigFile, "an adapter's folder", [](std::string_view name) {
    return name == kAdapterConfigFile || name == kAdapterWeightsFile;
  });
  prepare_parent(target);
  const OutputFolder can_be_made(target);
}

void write_kvzap_adapter(const std::filesystem::path& out,
                         const ModelSpec& spec,
                         const WeightSource& source) {
  check_kvzap_output(out);
  OutputFolder folder(resolve_output(out));
  write_text_file(folder.path() / kAdapterConfigFile, config_of(spec).dump(2) + "\n");
  const std::vector<WeightName> weights = adapter_weight_names(spec);
  std::vector<TensorDeclaration> tensors;
  for (const WeightName& weight : weights) {
    tensors.push_back({.name = weight.name, .dtype = "F32", .shape = weight.shape});
  }
  SafetensorsWriter writer(folder.path() / kAdapterWeightsFile, tensors);
  for (const WeightName& weight : weights) {
    for_each_piece(weight, source, [&](std::span<const float> rows) { writer.write_floats(rows); });
  }
  writer.close();
  folder.commit();
}

}  // namespace dms
