#pragma once
// Checkpoints of one small file, and looking at what is in a folder.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "train/checkpoint/checkpoint_save.h"

namespace dms::testing_support {

inline void put_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A save of rank 0 with one file, `weights`.
inline std::filesystem::path save_checkpoint(const std::filesystem::path& output_dir,
                                             int64_t step,
                                             const std::string& weights = "weights") {
  train::CheckpointSave save(output_dir, {.step = step});
  save.begin();
  put_file(save.path_for("weights"), weights);
  return save.finish();
}

inline std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    names.insert(item.path().filename().string());
  }
  return names;
}

}  // namespace dms::testing_support
