#pragma once
// One save of a run: everything is written into OUTPUT_DIR/checkpoint-STEP.tmp-ID, the manifest
// last, then the folder is renamed. A run that is killed at any moment leaves no half checkpoint
// under a name that a resume would read.
//
// With several ranks each writes files of its own; the caller's barriers go where the dots are:
//   CheckpointSave save(...);  save.begin();  ...  write to save.path_for(file);  ...
//   save.finish();
// Where a rank's write fails, the caller tells the others, and no rank calls finish().

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/output_folder.h"

namespace dms::train {

struct SaveOptions {
  int64_t step = 0;
  int64_t rank = 0;
  int64_t world_size = 1;
  std::string run_id{};  // the same on all ranks: rank 0's process id, broadcast once. May be empty
                         // where there is one rank.
};

/// Used by one thread at a time. Destroyed before finish(), rank 0's removes the temporary folder.
class CheckpointSave {
 public:
  CheckpointSave(const std::filesystem::path& output_dir, const SaveOptions& options);

  /// Rank 0: creates the folder, after removing what killed runs left in output_dir. Other ranks:
  /// nothing. Throws InputError when output_dir cannot be written.
  void begin();

  /// Where a file of this checkpoint is to be written: a plain name, another one on each rank.
  std::filesystem::path path_for(std::string_view file) const;

  /// Rank 0: writes the manifest of all files and puts the folder in place; a checkpoint of the
  /// same step is replaced. Other ranks: nothing. Returns the checkpoint's path. Throws RunError
  /// when the disk is full; older checkpoints stay then and the temporary folder goes.
  std::filesystem::path finish();

 private:
  std::filesystem::path final_path() const;

  std::filesystem::path output_dir_;
  SaveOptions options_;
  std::optional<OutputFolder> folder_;  // rank 0, between begin() and finish()
};

}  // namespace dms::train
