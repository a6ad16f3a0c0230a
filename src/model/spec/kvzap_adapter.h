#pragma once
// KVzap's settings and scores as an adapter's folder (adapter.h).

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms {

/// The kvzap_* keys of an adapter's config; nothing where it has none. Throws InputError on a
/// missing threshold and on absurd values.
std::optional<KvzapSpec> kvzap_from_config(const JsonFields& config);

/// Throws InputError where `out` holds anything but an adapter, or cannot be written.
void check_kvzap_output(const std::filesystem::path& out);

/// Writes the folder of a base of `spec`, which has `kvzap`, in one piece; the weights, float32,
/// are read from `source`. Throws as check_kvzap_output(), and RunError when the disk is full.
void write_kvzap_adapter(const std::filesystem::path& out,
                         const ModelSpec& spec,
                         const WeightSource& source);

}  // namespace dms
