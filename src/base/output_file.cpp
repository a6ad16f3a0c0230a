#include "base/output_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/descriptor_io.h"
#include "dms/error.h"

namespace dms {
namespace {

// Large enough that a row at a time costs no system call a row.
constexpr size_t kBufferBytes = size_t{1} << 20;

constexpr std::array kPathErrors{
    ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, EROFS, ENAMETOOLONG, ELOOP, EEXIST, ENOTEMPTY};

std::filesystem::path folder_of(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.parent_path();
  return folder.empty() ? "." : folder;
}

std::string link_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/// A file that the system itself removes however the process ends, or -1 where the file system has
/// none, or no way to name it later.
int open_nameless(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0 || ::access(link_of(fd).c_str(), F_OK) == 0) return fd;
  ::close(fd);
  return -1;
}

bool give_name(int fd, const std::filesystem::path& name) {
  return ::linkat(AT_FDCWD, link_of(fd).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

/// Some file systems cannot sync some kinds of file; that is no failure of ours.
bool sync_failed(int fd) { return ::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP; }

}  // namespace

void throw_write_error(const std::filesystem::path& path, int error_number) {
  const ErrorParts parts{.where = path.string(),
                         .what = std::string("cannot be written: ") + std::strerror(error_number)};
  if (std::ranges::find(kPathErrors, error_number) != kPathErrors.end()) throw InputError(parts);
  throw RunError(parts);
}

void sync_to_disk(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw_write_error(path, errno);
  const bool failed = sync_failed(fd);
  const int reason = errno;
  ::close(fd);
  if (failed) throw_write_error(path, reason);
}

OutputFile::OutputFile(const std::filesystem::path& target) : target_(target), file_(target) {
  open();
  if (fd_ < 0) throw_write_error(target_, errno);
  buffer_.reserve(kBufferBytes);
}

void OutputFile::open() {
  struct stat info {};
  const bool exists = ::stat(target_.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) return;
  if (exists && !S_ISREG(info.st_mode)) {
    fd_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    return;
  }
  if (exists) {
    std::error_code error;
    file_ = std::filesystem::canonical(target_, error);
    if (error) throw_write_error(target_, error.value());
  }
  temporary_ = file_.string() + ".tmp-" + std::to_string(::getpid());
  fd_ = open_nameless(folder_of(file_));
  is_nameless_ = fd_ >= 0;
  if (!is_nameless_) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty() && !is_nameless_) ::unlink(temporary_.c_str());
  fd_ = -1;
}

/// Puts the file where it belongs. A nameless one needs a name before it can replace another.
bool OutputFile::place() {
  if (is_nameless_) {
    if (give_name(fd_, file_)) return true;
    if (errno != EEXIST) return false;
    ::unlink(temporary_.c_str());
    if (!give_name(fd_, temporary_)) return false;
    is_nameless_ = false;
  }
  return ::rename(temporary_.c_str(), file_.c_str()) == 0;
}

void OutputFile::fail(int error_number) {
  discard();
  throw RunError({.where = target_.string(),
                  .what = std::string("cannot be written: ") + std::strerror(error_number)});
}

void OutputFile::flush() {
  if (!write_all(fd_, buffer_)) fail(errno);
  buffer_.clear();
}

void OutputFile::write(std::span<const std::byte> bytes) {
  ensure(fd_ >= 0, "write to a file that is closed or has failed");
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(
        buffer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void OutputFile::close() {
  ensure(fd_ >= 0, "a file is closed once");
  flush();
  if (sync_failed(fd_)) fail(errno);
  if (!temporary_.empty() && !place()) fail(errno);
  ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) sync_to_disk(folder_of(file_));
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.close();
}

}  // namespace dms
