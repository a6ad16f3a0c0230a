#pragma once
// A folder that one process writes at a time. The system lets go of the lock when the process ends,
// however that comes. Where the file system has no locks, nobody is taken to hold one.

#include <filesystem>
#include <optional>

namespace dms {

/// Holds the lock as long as it lives. Moved from, or made of nothing, it holds none.
class FolderLock {
 public:
  FolderLock() = default;
  /// Throws InputError where another one holds it, in this process too.
  explicit FolderLock(const std::filesystem::path& folder);
  /// None where another one holds it, or there is no folder that can be opened.
  static std::optional<FolderLock> try_hold(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  ~FolderLock();

 private:
  int descriptor_ = -1;
};

}  // namespace dms
