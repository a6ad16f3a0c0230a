#include "model/spec/dms_metadata.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/file_status.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr const char* kTrainingLog = "training_log.json";
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
                                 "dms_decision_shift",
                                 "dms_alpha_bias",
                                 "dms_n_sink"};

void apply_shift_override(const JsonFields& config, DmsSpec& spec) {
  spec.decision_shift = config.integer_or("dms_decision_shift", spec.decision_shift, 0, 1);
}

/// The first of `keys` that is there; the last one where none is.
template <size_t N>
const char* first_of(const JsonFields& fields, const std::array<const char*, N>& keys) {
  const auto* it = std::ranges::find_if(keys, [&](const char* key) { return fields.has(key); });
  return it == keys.end() ? keys.back() : *it;
}

// FastDMS's names; its training logs also have NVIDIA's.
constexpr std::array kWindowKeys{"window_size", "dms_window_size"};
constexpr std::array kScaleKeys{"alpha_scale", "dms_alpha_scale"};
constexpr std::array kOffsetKeys{"alpha_offset", "dms_alpha_offset", "dms_initial_alpha_offset"};
constexpr std::array kRatioKeys{"target_cr", "dms_cr"};

/// FastDMS's keys lie flat or under `config`.
JsonFields fastdms_fields(const Json& root, const std::string& where) {
  const JsonFields outer(root, where);
  const Json* nested = outer.find("config");
  return nested != nullptr && nested->is_object() ? JsonFields(*nested, where + ": config") : outer;
}

DmsSpec from_fastdms(const JsonFields& fields,
                     const std::filesystem::path& file,
                     const JsonFields& config) {
  DmsSpec spec{.source = DmsSource::neuron,
               .decision_shift = 0,
               .zero_after_rope = false,
               .origin = file.string()};
  spec.window = fields.integer_or(first_of(fields, kWindowKeys), kFastDmsWindow, 0, kMaxWindow);
  spec.alpha_scale =
      fields.number_or(first_of(fields, kScaleKeys), spec.alpha_scale, -kMaxNumber, kMaxNumber);
  spec.alpha_offset =
      fields.number_or(first_of(fields, kOffsetKeys), spec.alpha_offset, -kMaxNumber, kMaxNumber);
  spec.target_cr = fields.number_or(first_of(fields, kRatioKeys), 0.0, 0.0, kMaxNumber);
  apply_shift_override(config, spec);
  return spec;
}

/// A log of that name may be anybody's. FastDMS's holds a number under one of its keys.
bool is_fastdms_log(const JsonFields& fields) {
  const auto holds_number = [&](const auto& keys) {
    return std::ranges::any_of(keys, [&](const char* key) {
      const Json* value = fields.find(key);
      return value != nullptr && value->is_number();
    });
  };
  return holds_number(kWindowKeys) || holds_number(kScaleKeys) || holds_number(kOffsetKeys) ||
         holds_number(kRatioKeys);
}

/// The content of a FastDMS training log; nothing where the file is absent, unreadable or anybody
/// else's.
std::optional<Json> read_training_log(const std::filesystem::path& file) {
  try {
    if (!path_exists(file)) return std::nullopt;
    Json root = read_json_file(file, kMaxMetadataBytes);
    if (!is_fastdms_log(fastdms_fields(root, file.string()))) return std::nullopt;
    return root;
  } catch (const InputError&) {
    return std::nullopt;
  }
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
  spec.alpha_bias = config.boolean_or("dms_alpha_bias", false);
  spec.sinks = config.integer_or("dms_n_sink", 0, 0, kMaxWindow);
  apply_shift_override(config, spec);
  return spec;
}

std::optional<DmsSpec> find_dms_metadata(const std::filesystem::path& folder,
                                         const JsonFields& config,
                                         MetadataScope scope) {
  const std::filesystem::path own = folder / "dms_metadata.json";
  if (path_exists(own)) {
    const Json root = read_json_file(own, kMaxMetadataBytes);
    return from_fastdms(fastdms_fields(root, own.string()), own, config);
  }
  if (scope == MetadataScope::with_parent) {
    std::error_code error;
    const std::filesystem::path parent = parent_as_given(std::filesystem::absolute(folder, error));
    const std::filesystem::path log = parent / kTrainingLog;
    if (const std::optional<Json> root = read_training_log(log); !error && root) {
      return from_fastdms(fastdms_fields(*root, log.string()), log, config);
    }
  }
  return dms_from_config(config);
}

bool has_training_log(const std::filesystem::path& folder) {
  return read_training_log(folder / kTrainingLog).has_value();
}

}  // namespace dms
