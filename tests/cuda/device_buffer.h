#pragma once
// Device memory for tests of CUDA kernels. Nothing here knows the emulator: the same test runs
// on a card, where there is one.

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

namespace dms::testing_support {

/// Throws with the runtime's words where `status` is an error. Give it each launch's status.
inline void require_cuda(cudaError_t status) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorName(status) + ": " +
                           cudaGetErrorString(status));
}

/// Waits for all that was launched, and throws where any of it failed.
inline void wait_for_device() { require_cuda(cudaDeviceSynchronize()); }

/// Why device 0 cannot run kernels that need a compute capability (80: 8.0) of at least `least`
/// and below `below`; empty where it can.
inline std::string device_problem(int least, int below) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    cudaGetLastError();
    return std::string("no CUDA device: ") + cudaGetErrorString(status);
  }
  int major = 0;
  int minor = 0;
  require_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  require_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
  const int capability = 10 * major + minor;
  if (capability >= least && capability < below) return "";
  return "device 0 has compute capability " + std::to_string(major) + "." + std::to_string(minor);
}

/// First line of a test: skips it where no device can run it.
#define DMS_NEEDS_CUDA_DEVICE()                                                          \
  if (const std::string problem = ::dms::testing_support::device_problem(80, 1'000'000); \
      !problem.empty()) {                                                                \
    GTEST_SKIP() << problem;                                                             \
  }                                                                                      \
  static_assert(true)
/// The same for kernels of sm_90a, which no later device runs.
#define DMS_NEEDS_CUDA_SM90()                                                      \
  if (const std::string problem = ::dms::testing_support::device_problem(90, 100); \
      !problem.empty()) {                                                          \
    GTEST_SKIP() << problem;                                                       \
  }                                                                                \
  static_assert(true)

/// Elements in device memory, freed with the object. What was not written holds bytes of 0xff: NaN
/// in float32, bf16 and E4M3, -1 in integers.
template <class T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(size_t count) : size_(count) {
    void* memory = nullptr;
    // One element more: an empty buffer has an address too.
    require_cuda(cudaMalloc(&memory, (count == 0 ? 1 : count) * sizeof(T)));
    data_ = static_cast<T*>(memory);
    poison();
  }
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) {
    upload(values);
  }
  ~DeviceBuffer() { cudaFree(data_); }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  T* get() { return data_; }
  const T* get() const { return data_; }
  size_t size() const { return size_; }

  /// Writes elements from `first` on.
  void upload(std::span<const T> values, size_t first = 0) {
    check_range(first, values.size());
    if (values.empty()) return;
    require_cuda(cudaMemcpy(data_ + first, values.data(), values.size_bytes(), cudaMemcpyDefault));
  }
  /// All elements, after what was launched before.
  std::vector<T> download() const { return download(0, size_); }
  std::vector<T> download(size_t first, size_t count) const {
    check_range(first, count);
    std::vector<T> values(count);
    if (count == 0) return values;
    require_cuda(cudaMemcpy(values.data(), data_ + first, count * sizeof(T), cudaMemcpyDefault));
    return values;
  }
  void poison() { fill_bytes(0xff); }
  void zero() { fill_bytes(0); }
  /// From `first` on.
  void poison(size_t first, size_t count) {
    check_range(first, count);
    if (count > 0) require_cuda(cudaMemset(data_ + first, 0xff, count * sizeof(T)));
  }

 private:
  void fill_bytes(int byte) {
    if (size_ > 0) require_cuda(cudaMemset(data_, byte, size_ * sizeof(T)));
  }
  void check_range(size_t first, size_t count) const {
    if (first > size_ || count > size_ - first) {
      throw std::out_of_range("a device buffer's elements " + std::to_string(first) + " to " +
                              std::to_string(first + count) + " of " + std::to_string(size_));
    }
  }

  T* data_ = nullptr;  // [size]
  size_t size_ = 0;
};

}  // namespace dms::testing_support
