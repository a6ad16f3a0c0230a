#pragma once
// What the weight files of a folder say beyond config.json.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/spec/model_spec.h"

namespace dms {

/// Unties spec's head where the files hold one of its own that differs from the embedding, and adds
/// to spec.notes which tensors nobody reads. Files that are absent or damaged say nothing:
/// open_checkpoint() is who refuses them.
void survey_weights(const std::filesystem::path& folder, ModelSpec& spec);

/// Adds to spec.notes that the file or folder `where` holds tensors nobody reads, since `asking`
/// ("config.json") names no such weight: transformers ignores them too, but says so.
void note_unread(const std::vector<std::string>& names,
                 const std::string& where,
                 std::string_view asking,
                 ModelSpec& spec);

}  // namespace dms
