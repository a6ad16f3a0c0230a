#pragma once
// A file mapped read-only. Thread-safe after construction.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace dms {

/// Throws InputError when the file is missing, not a regular file or unreadable.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, bytes_}; }

  /// Tells the system that [offset, offset + count) will not be read again soon, so that a file
  /// copied piece by piece does not count as resident memory all at once.
  void release(int64_t offset, int64_t count) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

/// The whole of a small text file. Throws InputError when unreadable or larger than `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes);

}  // namespace dms
