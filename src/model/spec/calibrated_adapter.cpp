#include "model/spec/calibrated_adapter.h"

#include <span>
#include <string>
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

constexpr int64_t kMaxConfigBytes = 1 << 20;

void refuse_others(const std::filesystem::path& config, std::string_view key) {
  if (!path_exists(config)) return;
  if (read_text_file(config, kMaxConfigBytes).find(key) != std::string::npos) return;
  throw InputError({.where = config.string(),
                    .what = "another adapter, which would be lost",
                    .expected = "one of an earlier calibration of this kind, or a new folder"});
}

}  // namespace

void check_calibrated_output(const std::filesystem::path& out, std::string_view key) {
  const std::filesystem::path target = resolve_output(out);
  refuse_others(target / kAdapterConfigFile, key);
  check_replaceable(target, kAdapterConfigFile, "an adapter's folder", [](std::string_view name) {
    return name == kAdapterConfigFile || name == kAdapterWeightsFile;
  });
  prepare_parent(target);
  const OutputFolder can_be_made(target);
}

void write_calibrated_adapter(const std::filesystem::path& out,
                              std::string_view key,
                              const Json& settings,
                              const ModelSpec& spec,
                              const WeightSource& source) {
  check_calibrated_output(out, key);
  OutputFolder folder(resolve_output(out));
  Json config{{"format", kAdapterFormat},
              {"version", kAdapterVersion},
              {"model_type", spec.model_type},
              {"hidden_size", spec.hidden},
              {"num_hidden_layers", spec.layers},
              {"num_key_value_heads", spec.kv_heads}};
  config.update(settings);
  write_text_file(folder.path() / kAdapterConfigFile, config.dump(2) + "\n");
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
