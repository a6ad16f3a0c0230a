#pragma once
// Flat arrays on disk in the machine's byte order: written as a stream, read by memory mapping.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <type_traits>
#include <vector>

#include "base/mapped_file.h"

namespace dms::train::data {

/// Throws RunError when the disk is full or the file cannot be made.
class ArrayWriter {
 public:
  explicit ArrayWriter(const std::filesystem::path& path);

  template <class T>
  void write(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    write_bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  void close();

 private:
  void write_bytes(const char* data, size_t bytes);

  std::filesystem::path path_;
  std::ofstream file_;
};

/// Throws InputError naming the file unless it has count * element_bytes bytes.
void check_bytes(const MappedFile& file, int64_t count, size_t element_bytes);

/// The error of a cache file whose contents cannot be right.
[[noreturn]] void throw_damaged(const std::filesystem::path& path, const std::string& what);

/// Thread-safe.
template <class T>
class MappedArray {
 public:
  /// Throws InputError unless the file holds exactly `count` elements.
  MappedArray(const std::filesystem::path& path, int64_t count) : file_(path) {
    check_bytes(file_, count, sizeof(T));
  }
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(file_.bytes().data()), file_.bytes().size() / sizeof(T)};
  }
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  MappedFile file_;
};

}  // namespace dms::train::data
