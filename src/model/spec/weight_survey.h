#pragma once
// What the weight files of a folder say beyond config.json.

#include <filesystem>

#include "model/spec/model_spec.h"

namespace dms {

/// Unties spec's head where the files hold one of its own that differs from the embedding, and adds
/// to spec.notes which tensors nobody reads. Files that are absent or damaged say nothing:
/// open_checkpoint() is who refuses them.
void survey_weights(const std::filesystem::path& folder, ModelSpec& spec);

}  // namespace dms
