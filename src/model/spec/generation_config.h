#pragma once
// What a folder's generation_config.json says about choosing tokens.

#include <cstdint>
#include <filesystem>

namespace dms {

/// Values where the file is silent are those of transformers' GenerationConfig. temperature, top_k,
/// top_p and min_p count only with do_sample.
struct GenerationConfig {
  bool do_sample = false;
  double temperature = 1.0;
  int64_t top_k = 50;
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
};

/// Reads `folder`/generation_config.json; a folder without one gets the values above. Throws
/// InputError naming file and field.
GenerationConfig load_generation_config(const std::filesystem::path& folder);

}  // namespace dms
