#pragma once
// Flat arrays on disk in the machine's byte order: written as a stream, read wherever one likes.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <type_traits>
#include <vector>

#include "base/input_file.h"

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
void check_bytes(const InputFile& file, int64_t count, size_t element_bytes);

/// The error of a cache file whose contents cannot be right.
[[noreturn]] void throw_damaged(const std::filesystem::path& path, const std::string& what);

/// Elements stay on the disk and are read as they are asked for. Thread-safe.
template <class T>
class ArrayFile {
 public:
  /// Throws InputError unless the file holds exactly `count` elements.
  ArrayFile(const std::filesystem::path& path, int64_t count) : file_(path), size_(count) {
    check_bytes(file_, count, sizeof(T));
  }

  int64_t size() const { return size_; }
  const std::filesystem::path& path() const { return file_.path(); }

  /// Elements from `first` on. As InputFile::read().
  void read(int64_t first, std::span<T> out) const {
    file_.read(first * static_cast<int64_t>(sizeof(T)), std::as_writable_bytes(out));
  }
  std::vector<T> read(int64_t first, int64_t count) const {
    std::vector<T> values(static_cast<size_t>(count));
    read(first, std::span(values));
    return values;
  }
  T at(int64_t index) const {
    T value{};
    read(index, std::span(&value, 1));
    return value;
  }

  /// Calls take(elements) on all of them in order, some at a time.
  template <class Take>
  void walk(Take take) const {
    constexpr int64_t kPiece = int64_t{1} << 16;
    for (int64_t first = 0; first < size_; first += kPiece) {
      take(std::span<const T>(read(first, std::min(kPiece, size_ - first))));
    }
  }

 private:
  InputFile file_;
  int64_t size_;
};

}  // namespace dms::train::data
