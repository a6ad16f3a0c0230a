#pragma once
// The folder of an adapter (adapter.h) that a calibration writes. A later calibration of the same
// kind may replace it; a trained adapter's folder has files of the same names, and took hours.

#include <filesystem>
#include <string_view>

#include "base/json.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms {

/// Throws InputError where `out` holds anything but an adapter whose config has `key`, which only
/// its kind has, or cannot be written.
void check_calibrated_output(const std::filesystem::path& out, std::string_view key);

/// Writes the folder of a base of `spec` in one piece: the base's shape and `settings` as its
/// config, and the weights of adapter_weight_names(), float32, from `source`. Throws as
/// check_calibrated_output(), and RunError when the disk is full.
void write_calibrated_adapter(const std::filesystem::path& out,
                              std::string_view key,
                              const Json& settings,
                              const ModelSpec& spec,
                              const WeightSource& source);

}  // namespace dms
