#pragma once
// The checkpoints of an output folder, checkpoint-STEP each: finding the one to resume from,
// opening one that was named, and removing old ones.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "train/checkpoint/manifest.h"

namespace dms::train {

/// "checkpoint-STEP", and the step of such a name.
std::string checkpoint_name(int64_t step);
std::optional<int64_t> checkpoint_step(std::string_view name);

/// A rank's file of one kind: "weights-0.safetensors" (float32 weights by their names),
/// "moments-0.safetensors" (the optimiser's).
std::string rank_file(std::string_view kind, int64_t rank);

/// A checkpoint whose every file was found as it was saved.
struct CheckpointFolder {
  std::filesystem::path path;
  Manifest manifest;
  std::vector<std::string> notes;  // newer checkpoints that were passed over, and why

  /// One of its files. Throws InputError where it has none of this name.
  std::filesystem::path file(std::string_view name) const;
};

/// Reads the manifest and all files. Throws InputError naming the file that is missing, short or
/// damaged.
CheckpointFolder open_checkpoint_folder(const std::filesystem::path& path);

/// For `--resume auto`: the newest checkpoint that is whole; those that are not are noted and
/// passed over. Nothing where there is none at all. Throws InputError when there are checkpoints
/// and every one is damaged: to begin anew is then the user's decision.
std::optional<CheckpointFolder> latest_checkpoint(const std::filesystem::path& output_dir);

/// Removes the oldest checkpoints until `save_total_limit` are left (0: keeps all), but never the
/// newest whole one (by its files' sizes). Throws RunError.
void prune_checkpoints(const std::filesystem::path& output_dir, int64_t save_total_limit);

}  // namespace dms::train
