#include "base/file_status.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "dms/error.h"

namespace dms {
namespace {

[[noreturn]] void throw_unreadable(const std::filesystem::path& path,
                                   const std::error_code& error) {
  throw InputError({.where = path.string(), .what = "cannot be read: " + error.message()});
}

std::filesystem::file_status status_of(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::status_known(status)) return status;
  throw_unreadable(path, error);
}

}  // namespace

bool path_exists(const std::filesystem::path& path) {
  return std::filesystem::exists(status_of(path));
}

bool is_folder(const std::filesystem::path& path) {
  return std::filesystem::is_directory(status_of(path));
}

bool is_file(const std::filesystem::path& path) {
  return std::filesystem::is_regular_file(status_of(path));
}

std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  if (!path_exists(folder)) return entries;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) throw_unreadable(folder, error);
  std::ranges::sort(entries);
  return entries;
}

}  // namespace dms
