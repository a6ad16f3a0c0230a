#include "model/spec/dms_metadata.h"

#include <array>
#include <string>

#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kMaxWindow = int64_t{1} << 30;
constexpr double kMaxNumber = 1e9;
constexpr int64_t kMaxMetadataBytes = int64_t{64} << 20;

// FastDMS's defaults; NVIDIA's are DmsSpec's.
constexpr int64_t kFastDmsWindow = 256;

constexpr std::array kConfigKeys{"dms_window_size",
                                 "dms_alpha_scale",
                                 "dms_initial_alpha_offset",
                                 "dms_alpha_per",
                                 "dms_cr",
                                 "dms_separate_alpha",
                                 "dms_disable_eviction",
                                 "dms_decision_shift"};

void apply_shift_override(const JsonFields& config, DmsSpec& spec) {
  spec.decision_shift = config.integer_or("dms_decision_shift", spec.decision_shift, 0, 1);
}

/// FastDMS's keys lie flat or under `config`.
std::optional<DmsSpec> from_fastdms(const std::filesystem::path& file, const JsonFields& config) {
  const Json root = read_json_file(file, kMaxMetadataBytes);
  const JsonFields outer(root, file.string());
  const Json* nested = outer.find("config");
  const JsonFields fields(nested != nullptr && nested->is_object() ? *nested : root, file.string());
  DmsSpec spec{.source = DmsSource::neuron,
               .decision_shift = 0,
               .zero_after_rope = false,
               .origin = file.string()};
  spec.window = fields.integer_or("window_size", kFastDmsWindow, 1, kMaxWindow);
  spec.alpha_scale = fields.number_or("alpha_scale", spec.alpha_scale, -kMaxNumber, kMaxNumber);
  const char* offset = fields.has("alpha_offset") ? "alpha_offset" : "dms_alpha_offset";
  spec.alpha_offset = fields.number_or(offset, spec.alpha_offset, -kMaxNumber, kMaxNumber);
  spec.target_cr = fields.number_or("target_cr", 0.0, 0.0, kMaxNumber);
  apply_shift_override(config, spec);
  return spec;
}

}  // namespace

std::optional<DmsSpec> dms_from_config(const JsonFields& config) {
  bool any = false;
  for (const char* key : kConfigKeys) any |= config.has(key);
  if (!any) return std::nullopt;
  DmsSpec spec{.origin = config.where()};
  spec.source =
      config.boolean_or("dms_separate_alpha", false) ? DmsSource::adapter : DmsSource::neuron;
  spec.window = config.integer_or("dms_window_size", spec.window, 1, kMaxWindow);
  spec.alpha_scale = config.number_or("dms_alpha_scale", spec.alpha_scale, -kMaxNumber, kMaxNumber);
  spec.alpha_offset =
      config.number_or("dms_initial_alpha_offset", spec.alpha_offset, -kMaxNumber, kMaxNumber);
  spec.target_cr = config.number_or("dms_cr", 0.0, 0.0, kMaxNumber);
  spec.disable_eviction = config.boolean_or("dms_disable_eviction", false);
  const std::string per = config.string_or("dms_alpha_per", "head");
  if (per != "head" && per != "layer") {
    throw InputError({.where = config.where() + ": dms_alpha_per",
                      .what = "bad value",
                      .got = per,
                      .expected = "head or layer"});
  }
  spec.per_layer = per == "layer";
  apply_shift_override(config, spec);
  return spec;
}

std::optional<DmsSpec> find_dms_metadata(const std::filesystem::path& folder,
                                         const JsonFields& config,
                                         MetadataScope scope) {
  const std::filesystem::path own = folder / "dms_metadata.json";
  if (std::filesystem::exists(own)) return from_fastdms(own, config);
  if (scope == MetadataScope::local) {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::canonical(folder, error);
    const std::filesystem::path log = absolute.parent_path() / "training_log.json";
    if (!error && std::filesystem::exists(log)) return from_fastdms(log, config);
  }
  return dms_from_config(config);
}

}  // namespace dms
