#pragma once
// A folder that appears whole or not at all: filled as TARGET.tmp-ID, synced, then renamed to
// TARGET; a folder of that name is replaced in the same instant where the file system can. While it
// is filled its owner holds a lock on it, so that what a killed process left is told from what a
// living one is writing.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/folder_lock.h"

namespace dms {

/// Used by one thread at a time. Destroyed before commit(), it leaves nothing behind.
class OutputFolder {
 public:
  /// Creates the temporary folder, empty, after removing what dead processes left of the same
  /// target; its parent must exist. `id`: one word, different in runs
  /// that live at the same time (the process id where empty). Throws InputError when the parent is
  /// missing or not writable.
  explicit OutputFolder(const std::filesystem::path& target, const std::string& id = {});
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  /// Where to write. The name follows from target and id, see temporary_name().
  const std::filesystem::path& path() const { return temporary_; }
  /// Syncs every file and puts the folder in place. Throws RunError; what was at the target before
  /// stays then.
  void commit();

 private:
  void discard();

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::optional<FolderLock> lock_;
};

/// TARGET.tmp-ID.
std::filesystem::path temporary_name(const std::filesystem::path& target, const std::string& id);

/// Removes from `parent` what dead processes left: folders NAME.tmp-… that nobody holds a lock on,
/// where `is_ours` accepts NAME.
void remove_leftovers(const std::filesystem::path& parent,
                      const std::function<bool(std::string_view name)>& is_ours);

/// Renames the folder before its files go, so that no half of it is ever seen under its name.
/// Throws RunError.
void remove_folder(const std::filesystem::path& folder);

}  // namespace dms
