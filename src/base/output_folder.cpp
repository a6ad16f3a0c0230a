#include "base/output_folder.h"

#include <cerrno>
#include <cstdio>
#include <optional>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/output_file.h"

namespace dms {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp-";

std::string process_id() { return std::to_string(::getpid()); }

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? "." : parent;
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

/// The files first, then the folders that list them.
void sync_tree(const fs::path& folder) {
  std::vector<fs::path> folders{folder};
  for (const auto& item : fs::recursive_directory_iterator(folder)) {
    if (item.is_directory()) {
      folders.push_back(item.path());
    } else {
      sync_to_disk(item.path());
    }
  }
  for (const fs::path& path : folders) sync_to_disk(path);
}

/// Puts `temporary` where `target` is; what was there is at `temporary` then.
void exchange(const fs::path& temporary, const fs::path& target) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    return;
  }
  if (errno != EINVAL && errno != ENOSYS) throw_write_error(target, errno);
  const fs::path old = temporary_name(target, "old-" + process_id());
  if (::rename(target.c_str(), old.c_str()) != 0) throw_write_error(target, errno);
  if (::rename(temporary.c_str(), target.c_str()) != 0) {
    const int reason = errno;
    std::error_code ignored;
    fs::rename(old, target, ignored);
    throw_write_error(target, reason);
  }
  remove_quietly(old);
}

}  // namespace

fs::path temporary_name(const fs::path& target, const std::string& id) {
  fs::path name = target;
  name += kTemporary;
  name += id;
  return name;
}

OutputFolder::OutputFolder(const fs::path& target, const std::string& id)
    : target_(target), temporary_(temporary_name(target, id.empty() ? process_id() : id)) {
  remove_quietly(temporary_);
  const std::string name = target.filename().string();
  remove_leftovers(parent_of(target), [&](std::string_view other) { return other == name; });
  std::error_code error;
  if (!fs::create_directory(temporary_, error)) {
    throw_write_error(target_, error ? error.value() : EEXIST);
  }
  lock_ = FolderLock::try_hold(temporary_);
}

OutputFolder::~OutputFolder() { discard(); }

void OutputFolder::discard() {
  if (!temporary_.empty()) remove_quietly(temporary_);
  lock_.reset();
  temporary_.clear();
}

void OutputFolder::commit() {
  ensure(!temporary_.empty(), "a folder is put in place once");
  sync_tree(temporary_);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) throw_write_error(target_, errno);
    exchange(temporary_, target_);
  }
  sync_to_disk(parent_of(target_));
  discard();  // the replaced folder, where there was one
}

void remove_leftovers(const fs::path& parent,
                      const std::function<bool(std::string_view name)>& is_ours) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(parent, error)) {
    const std::string name = item.path().filename().string();
    const size_t end = name.rfind(kTemporary);
    if (end != std::string::npos && is_ours(std::string_view(name).substr(0, end))) {
      found.push_back(item.path());
    }
  }
  for (const fs::path& path : found) {
    const std::optional<FolderLock> lock = FolderLock::try_hold(path);
    if (lock) remove_quietly(path);
  }
}

void remove_folder(const fs::path& folder) {
  const fs::path doomed = temporary_name(folder, "old-" + process_id());
  remove_quietly(doomed);
  if (::rename(folder.c_str(), doomed.c_str()) != 0) throw_write_error(folder, errno);
  std::error_code error;
  fs::remove_all(doomed, error);
  if (error) throw_write_error(folder, error.value());
}

}  // namespace dms
