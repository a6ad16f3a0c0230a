#include "cuda/memory.h"

#include "dms/error.h"

namespace dms::cuda {
namespace {

std::string megabytes(size_t bytes) {
  return std::to_string((bytes + 999'999) / 1'000'000) + " MB";
}

/// CUDA remembers a failure until it is asked; what was thrown is not to be met again.
void forget_last_error() { static_cast<void>(cudaGetLastError()); }

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  forget_last_error();
  throw RunError(
      {.where = "cuda",
       .what = std::string(what) + " failed",
       .got = std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status)});
}

DeviceMemory device_memory() {
  DeviceMemory memory;
  check(cudaMemGetInfo(&memory.free, &memory.total), "asking for the device's memory");
  return memory;
}

DeviceBuffer::DeviceBuffer(size_t bytes, const char* purpose) : Memory(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    forget_last_error();
    throw RunError({.where = "cuda",
                    .what = std::string("no room in the device's memory for ") + purpose,
                    .got = megabytes(device_memory().free) + " free",
                    .expected = megabytes(bytes)});
  }
  check(status, "taking device memory");
  data_ = static_cast<std::byte*>(data);
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) static_cast<void>(cudaFree(data_));
}

PinnedBuffer::PinnedBuffer(size_t bytes, const char* purpose) : Memory(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    forget_last_error();
    throw RunError({.where = "cuda",
                    .what = std::string("no room in page-locked memory for ") + purpose,
                    .expected = megabytes(bytes)});
  }
  check(status, "taking page-locked memory");
  data_ = static_cast<std::byte*>(data);
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) static_cast<void>(cudaFreeHost(data_));
}

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

Stream::~Stream() {
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
}

void Stream::synchronize() const { check(cudaStreamSynchronize(stream_), "work on the device"); }

Event::Event() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event");
}

Event::~Event() {
  if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
}

void Event::record(const Stream& stream) const {
  check(cudaEventRecord(event_, stream.get()), "recording an event");
}

void Event::synchronize() const { check(cudaEventSynchronize(event_), "work on the device"); }

}  // namespace dms::cuda
