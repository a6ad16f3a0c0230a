#include "model/spec/dms_metadata.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "base/file_status.h"
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

/// The first of `keys` that is there; the last one where none is.
const char* first_of(const JsonFields& fields, std::initializer_list<const char*> keys) {
  const auto* it = std::ranges::find_if(keys, [&](const char* key) { return fields.has(key); });
  return it == keys.end() ? *(keys.end() - 1) : *it;
}

/// FastDMS's keys lie flat or under `config`; its training logs also have NVIDIA's names.
std::optional<DmsSpec> from_fastdms(const std::filesystem::path& file, const JsonFields& config) {
  const Json root = read_json_file(file, kMaxMetadataBytes);
  const JsonFields outer(root, file.string());
  const Json* nested = outer.find("config");
  const JsonFields fields = nested != nullptr && nested->is_object()
                                ? JsonFields(*nested, file.string() + ": config")
                                : outer;
  const char* window = first_of(fields, {"window_size", "dms_window_size"});
  const char* scale = first_of(fields, {"alpha_scale", "dms_alpha_scale"});
  const char* offset =
      first_of(fields, {"alpha_offset", "dms_alpha_offset", "dms_initial_alpha_offset"});
  const char* ratio = first_of(fields, {"target_cr", "dms_cr"});
  DmsSpec spec{.source = DmsSource::neuron,
               .decision_shift = 0,
               .zero_after_rope = false,
               .origin = file.string()};
  spec.window = fields.integer_or(window, kFastDmsWindow, 0, kMaxWindow);
  spec.alpha_scale = fields.number_or(scale, spec.alpha_scale, -kMaxNumber, kMaxNumber);
  spec.alpha_offset = fields.number_or(offset, spec.alpha_offset, -kMaxNumber, kMaxNumber);
  spec.target_cr = fields.number_or(ratio, 0.0, 0.0, kMaxNumber);
  apply_shift_override(config, spec);
  return spec;
}

/// The parent of the path as the user wrote it, not of a link's target, which may lie in a store
/// that many models share.
std::filesystem::path parent_as_given(const std::filesystem::path& absolute) {
  const std::filesystem::path path = absolute.lexically_normal();
  return path.has_filename() ? path.parent_path() : path.parent_path().parent_path();
}

}  // namespace

std::optional<DmsSpec> dms_from_config(const JsonFields& config) {
  bool any = false;
  for (const char* key : kConfigKeys) any |= config.has(key);
  if (!any) return std::nullopt;
  DmsSpec spec{.origin = config.where()};
  spec.source =
      config.boolean_or("dms_separate_alpha", false) ? DmsSource::adapter : DmsSource::neuron;
  spec.window = config.integer_or("dms_window_size", spec.window, 0, kMaxWindow);
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
  if (path_exists(own)) return from_fastdms(own, config);
  if (scope == MetadataScope::local) {
    std::error_code error;
    const std::filesystem::path log =
        parent_as_given(std::filesystem::absolute(folder, error)) / "training_log.json";
    if (!error && path_exists(log)) return from_fastdms(log, config);
  }
  return dms_from_config(config);
}

}  // namespace dms
