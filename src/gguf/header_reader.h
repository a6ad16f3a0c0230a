#pragma once
// The numbers and strings at the front of a GGUF file, one after the other. How far the front
// reaches is known only once it has been read, so that it is read through a window. Whatever the
// file says of lengths is compared with what is left of it before anything is allocated.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dms::gguf {

/// Fills `out` from byte `offset` of a file on.
using ReadBytes = std::function<void(int64_t offset, std::span<std::byte> out)>;

class HeaderReader {
 public:
  /// `where` names the file in errors.
  HeaderReader(ReadBytes read, int64_t file_bytes, std::string where);

  const std::string& where() const { return where_; }
  int64_t position() const { return position_; }
  int64_t left() const { return limit_ - position_; }

  /// Each throws InputError, naming `what`, where the file ends before it.
  template <class T>
  requires std::is_arithmetic_v<T> T number(std::string_view what) {
    static_assert(std::endian::native == std::endian::little);
    T value;
    std::memcpy(&value, take(static_cast<int64_t>(sizeof(T)), what), sizeof(T));
    return value;
  }
  /// A length of 64 bits and so many bytes of UTF-8.
  std::string string(std::string_view what);
  /// A count of things of at least `least_bytes` each, which follow.
  int64_t count(int64_t least_bytes, std::string_view what);

 private:
  /// The next `bytes`, alive until the next call.
  const std::byte* take(int64_t bytes, std::string_view what);
  [[noreturn]] void throw_short(uint64_t needed, std::string_view what) const;

  ReadBytes read_;
  std::string where_;
  int64_t file_bytes_;
  int64_t limit_;  // where the front must have ended
  int64_t position_ = 0;
  std::vector<std::byte> window_;
  int64_t window_begin_ = 0;
};

}  // namespace dms::gguf
