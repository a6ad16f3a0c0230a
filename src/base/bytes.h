#pragma once
// State as bytes and back: what is written and read is plain data, in the machine's own order; the
// header of a file says which.

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dms {

class ByteWriter {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void value(const T& value) { bytes(std::as_bytes(std::span(&value, 1))); }
  void bytes(std::span<const std::byte> bytes) {
    data_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  /// The count, then the elements.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void list(std::span<const T> values) {
    value(static_cast<int64_t>(values.size()));
    bytes(std::as_bytes(values));
  }

  /// In place of what was written at `offset`.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void overwrite(size_t offset, const T& value) {
    std::memcpy(data_.data() + offset, &value, sizeof(T));
  }
  /// Fills up, so that what follows lies at a multiple of `alignment` (1 to 255) from the start.
  void align(int64_t alignment);

  std::string_view data() const { return data_; }

 private:
  std::string data_;
};

class ByteReader {
 public:
  /// `where` names the source in errors. `data` outlives the reader. `owner`: what keeps `data`
  /// alive where it is memory that may be kept, and written to, instead of being copied.
  ByteReader(std::string_view data, std::string where, std::shared_ptr<const void> owner = {})
      : data_(data), where_(std::move(where)), owner_(std::move(owner)) {}

  const std::string& where() const { return where_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  int64_t left() const { return std::ssize(data_); }

  /// Each throws InputError where the bytes end early.
  template <class T>
  requires std::is_trivially_copyable_v<T> T value() {
    T value;
    std::memcpy(&value, take(static_cast<int64_t>(sizeof(T))).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> bytes(int64_t count) { return std::as_bytes(std::span(take(count))); }
  template <class T>
  requires std::is_trivially_copyable_v<T> std::vector<T> list() {
    const int64_t count = count_of(static_cast<int64_t>(sizeof(T)));
    std::vector<T> values(static_cast<size_t>(count));
    if (count > 0)
      std::memcpy(values.data(),
                  take(count * static_cast<int64_t>(sizeof(T))).data(),
                  values.size() * sizeof(T));
    return values;
  }
  /// A count of things of `element_bytes` that follow: no more than there are bytes left.
  int64_t count_of(int64_t element_bytes);
  /// A number of [min, max]; `what` names it in the error.
  int64_t number(int64_t min, int64_t max, const char* what);
  /// Skips what ByteWriter::align() filled up.
  void align() { take(static_cast<int64_t>(value<uint8_t>())); }
  /// Throws InputError unless `holds`.
  void require(bool holds, const char* what) const;

 private:
  std::string_view take(int64_t count);

  std::string_view data_;
  std::string where_;
  std::shared_ptr<const void> owner_;
};

}  // namespace dms
