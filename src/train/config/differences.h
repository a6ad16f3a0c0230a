#pragma once
// What changed between two configurations of one run.

#include <string>
#include <vector>

namespace dms::train {

/// Keys of objective, model, dms and data (data.cache_dir aside: it holds copies) whose values
/// differ between two YAML texts, as "dms.window_size: was 64, is 128". A text that is no YAML is
/// taken for one without keys.
std::vector<std::string> config_differences(const std::string& before, const std::string& now);

/// The same as notes for a user who goes on from a checkpoint that was made with `before`.
std::vector<std::string> notes_since_checkpoint(const std::string& before, const std::string& now);

}  // namespace dms::train
