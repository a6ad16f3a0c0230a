#pragma once
// A file that strangers wrote and may be writing still. It is read, never mapped (as is what only
// this user writes: file_image.h): a file that is cut short under a mapping kills the process,
// under a read it is an error like others.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace dms {

/// An open regular file and the size it had. Thread-safe after construction.
class InputFile {
 public:
  /// Throws InputError when the file is missing, not a regular file or unreadable.
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_) {}
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  /// Open for reading as long as this lives.
  int descriptor() const { return fd_; }

  /// Fills `out` from byte `offset` on; both lie inside the file as it was opened. Throws RunError
  /// when it has become shorter, or the disk fails.
  void read(int64_t offset, std::span<std::byte> out) const;
  std::string read_text(int64_t offset, int64_t count) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t bytes_ = 0;
};

/// The whole of a small text file. Throws InputError when unreadable or larger than `max_bytes`,
/// RunError as InputFile::read().
std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes);

}  // namespace dms
