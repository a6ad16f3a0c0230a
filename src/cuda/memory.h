#pragma once
// Owners of what the CUDA runtime lends, and its failures as errors.

#include <cstddef>
#include <string>
#include <utility>

#include <cuda_runtime_api.h>

namespace dms::cuda {

/// Throws RunError with CUDA's words where `status` is a failure; `what` was tried ("copying
/// weights to the device").
void check(cudaError_t status, const char* what);

/// What the current device has, in bytes.
struct DeviceMemory {
  size_t free = 0;
  size_t total = 0;
};
DeviceMemory device_memory();

/// A piece of memory that has one owner; what gives it and takes it back derives from this.
class Memory {
 public:
  size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_; }
  /// The memory from byte `offset` on.
  template <typename T>
  T* at(size_t offset = 0) const {
    return reinterpret_cast<T*>(data_ + offset);
  }

 protected:
  Memory() = default;
  explicit Memory(size_t bytes) : bytes_(bytes) {}
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Memory() = default;

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;

 private:
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
};

/// Memory of the current device, uninitialised; begins at a multiple of 256 bytes.
class DeviceBuffer : public Memory {
 public:
  DeviceBuffer() = default;
  /// `purpose`: what it is for, as an error says it ("weights"). Throws RunError that names what
  /// was needed and what is free.
  DeviceBuffer(size_t bytes, const char* purpose);
  DeviceBuffer(DeviceBuffer&&) noexcept = default;
  DeviceBuffer& operator=(DeviceBuffer&&) noexcept = default;
  ~DeviceBuffer();
};

/// Memory of the host that copies may read and write while the host goes on.
class PinnedBuffer : public Memory {
 public:
  PinnedBuffer() = default;
  /// As DeviceBuffer's.
  PinnedBuffer(size_t bytes, const char* purpose);
  PinnedBuffer(PinnedBuffer&&) noexcept = default;
  PinnedBuffer& operator=(PinnedBuffer&&) noexcept = default;
  ~PinnedBuffer();
};

/// A stream that does not wait for the default one.
class Stream {
 public:
  Stream();
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  cudaStream_t get() const { return stream_; }
  /// Waits until all that was put into it is done; throws what failed there.
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// A point in a stream that others can wait for; without times.
class Event {
 public:
  Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record(const Stream& stream) const;
  /// Waits until the stream has come to where it was recorded; at once where it never was.
  void synchronize() const;

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace dms::cuda
