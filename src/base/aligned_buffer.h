#pragma once
// Anonymous memory straight from the kernel: zeroed, page aligned, on huge pages where the system
// grants them (streaming 2 GB of weights through 4 KiB pages costs TLB misses), given back at once.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace dms {

/// Move-only owner of `bytes` zeroed bytes. Throws RunError when the system has no more memory.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

  /// The buffer as elements of T; a trailing partial element is left out.
  template <class T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(data_), static_cast<size_t>(bytes_) / sizeof(T)};
  }
  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(bytes_) / sizeof(T)};
  }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace dms
