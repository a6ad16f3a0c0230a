#pragma once
// Which files of a folder hold the weights, and what lies there instead where none do.

#include <filesystem>
#include <optional>
#include <vector>

#include "dms/error.h"
#include "model/spec/shard_index.h"

namespace dms {

struct WeightFiles {
  std::vector<std::filesystem::path> paths;
  std::optional<ShardIndex> index;  // absent: one file
};

/// Nothing where the folder has no safetensors under Hugging Face's names. Throws InputError on a
/// damaged index.
std::optional<WeightFiles> find_weight_files(const std::filesystem::path& folder);

/// The error of a folder that is no model of ours, saying which other formats lie in it.
InputError unusable_folder(const std::filesystem::path& folder,
                           const std::string& what,
                           const std::string& expected);

}  // namespace dms
