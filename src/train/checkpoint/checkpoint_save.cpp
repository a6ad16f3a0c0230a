#include "train/checkpoint/checkpoint_save.h"

#include <system_error>

#include <unistd.h>

#include "base/check.h"
#include "base/output_file.h"
#include "train/checkpoint/checkpoints.h"
#include "train/checkpoint/manifest.h"

namespace dms::train {

CheckpointSave::CheckpointSave(const std::filesystem::path& output_dir, const SaveOptions& options)
    : output_dir_(output_dir), options_(options) {
  ensure(options.step >= 0 && options.rank >= 0 && options.rank < options.world_size,
         "a save has a step and a rank of its world");
  ensure(options.world_size == 1 || !options.run_id.empty(), "several ranks share a run id");
  if (options_.run_id.empty()) options_.run_id = std::to_string(::getpid());
}

std::filesystem::path CheckpointSave::final_path() const {
  return output_dir_ / checkpoint_name(options_.step);
}

void CheckpointSave::begin() {
  if (options_.rank != 0) return;
  std::error_code error;
  std::filesystem::create_directories(output_dir_, error);
  if (error) throw_write_error(output_dir_, error.value());
  remove_leftovers(output_dir_,
                   [](std::string_view name) { return checkpoint_step(name).has_value(); });
  folder_.emplace(final_path(), options_.run_id);
}

std::filesystem::path CheckpointSave::path_for(std::string_view file) const {
  ensure(!file.empty() && file.find('/') == std::string_view::npos && file != kManifestFile,
         "a checkpoint's files have plain names");
  return temporary_name(final_path(), options_.run_id) / file;
}

std::filesystem::path CheckpointSave::finish() {
  if (options_.rank != 0) return final_path();
  ensure(folder_.has_value(), "a save that is finished was begun");
  try {
    write_manifest(folder_->path(),
                   make_manifest(folder_->path(), options_.step, options_.world_size));
    folder_->commit();
  } catch (...) {
    folder_.reset();
    throw;
  }
  folder_.reset();
  return final_path();
}

}  // namespace dms::train
