#include "base/folder_lock.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "dms/error.h"

namespace dms {
namespace {

int open_folder(const std::filesystem::path& folder) {
  return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/// Not where another one holds the lock.
bool take(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) : descriptor_(open_folder(folder)) {
  if (descriptor_ < 0) return;  // what is wrong with it, those who write there find out
  if (take(descriptor_)) return;
  ::close(descriptor_);
  throw InputError({.where = folder.string(),
                    .what = "another run is writing there",
                    .hint = "wait for it, or name another folder"});
}

std::optional<FolderLock> FolderLock::try_hold(const std::filesystem::path& folder) {
  FolderLock lock;
  lock.descriptor_ = open_folder(folder);
  if (lock.descriptor_ < 0 || !take(lock.descriptor_)) return std::nullopt;
  return lock;
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace dms
