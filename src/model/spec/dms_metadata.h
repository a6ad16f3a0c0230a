#pragma once
// Trained eviction's settings in the forms that NVIDIA's and FastDMS's folders carry (semantics.md
// section 1: which form a folder has).

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "model/spec/load.h"
#include "model/spec/model_spec.h"

namespace dms {

/// Looks in `folder`/dms_metadata.json, then (where the scope allows it) in the parent's
/// training_log.json where that holds a DMS setting, then for dms_* keys in `config`. Nothing
/// found: a plain model. Throws InputError on absurd values.
std::optional<DmsSpec> find_dms_metadata(const std::filesystem::path& folder,
                                         const JsonFields& config,
                                         MetadataScope scope);

/// The dms_* keys of `config` alone.
std::optional<DmsSpec> dms_from_config(const JsonFields& config);

/// `folder` holds a training_log.json with DMS settings, which the models in its folders then have.
bool has_training_log(const std::filesystem::path& folder);

}  // namespace dms
