#pragma once
// A trained eviction adapter alone, to be applied to its base with `--adapter`
// (src/model/spec/adapter.h reads it).

#include <filesystem>

#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms::train {

/// Refuses an output folder that holds anything but an adapter. Throws InputError.
void check_adapter_output(const std::filesystem::path& out);

/// Writes adapter_config.json and adapter.safetensors (the dms_proj_* weights in float32, read from
/// `source`) in one piece. `spec`: the student's. Throws InputError when its decisions come from a
/// borrowed channel, which has no weights of its own; RunError when the disk is full.
void write_adapter_folder(const std::filesystem::path& out,
                          const ModelSpec& spec,
                          double tau,
                          const WeightSource& source);

}  // namespace dms::train
