// Memory of device and host, copies and fills. Device memory is the host's, filled with NaN bytes;
// what lies in it is known, so that a copy which runs over its end is an error.

#include "cuda_emulator/runtime/memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/cudart/runtime.h"
#include "cuda_emulator/runtime/state.h"

using namespace cuda_emulator;
using namespace cuda_emulator::cudart;

namespace {

/// Under the runtime's lock.
struct Memory {
  std::map<void*, size_t> device_blocks;
  size_t device_bytes = 0;
  std::map<const char*, size_t> pinned;  // begin -> size
  std::map<const void*, std::string> symbols;
};

/// Exists before the first registration, which static initialisers do.
Memory& memory() {
  static Memory instance;
  return instance;
}

constexpr size_t kAlignment = 256;

cudaError_t allocate(void** out, size_t size) {
  Runtime& rt = runtime();
  if (rt.sticky != cudaSuccess) return rt.sticky;
  const size_t bytes = (std::max<size_t>(size, 1) + kAlignment - 1) / kAlignment * kAlignment;
  *out = nullptr;
  if (bytes > options().memory_bytes - std::min(memory().device_bytes, options().memory_bytes)) {
    return error(cudaErrorMemoryAllocation, "out of device memory");
  }
  *out = std::aligned_alloc(kAlignment, bytes);
  if (!*out) return error(cudaErrorMemoryAllocation, "out of memory");
  std::memset(*out, 0xff, bytes);
  add_allocation(*out, size);
  memory().device_blocks[*out] = bytes;
  memory().device_bytes += bytes;
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (!remove_allocation(pointer))
    return error(cudaErrorInvalidValue, "freed what was not allocated");
  memory().device_bytes -= memory().device_blocks[pointer];
  memory().device_blocks.erase(pointer);
  std::free(pointer);
  return cudaSuccess;
}

bool is_pinned(const void* pointer, size_t size) {
  const char* const begin = static_cast<const char*>(pointer);
  auto next = memory().pinned.upper_bound(begin);
  if (next == memory().pinned.begin()) return false;
  --next;
  return begin + size <= next->first + next->second;
}

struct Copy2d {
  void* target;
  size_t target_pitch;
  const void* source;
  size_t source_pitch;
  size_t width, height;
  cudaMemcpyKind kind;

  static size_t extent(size_t pitch, size_t width, size_t height) {
    return width && height ? pitch * (height - 1) + width : 0;
  }
  size_t target_bytes() const { return extent(target_pitch, width, height); }
  size_t source_bytes() const { return extent(source_pitch, width, height); }
};

Copy2d copy_1d(void* target, const void* source, size_t size, cudaMemcpyKind kind) {
  return {target, size, source, size, size, 1, kind};
}

cudaError_t run_copy(const Copy2d& copy) {
  if (!copy.width || !copy.height) return cudaSuccess;
  const cudaMemcpyKind kind = copy.kind;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device && !is_device_memory(copy.target, copy.target_bytes())) {
    return error(cudaErrorInvalidValue, "copy to what is not device memory, or over its end");
  }
  if (from_device && !is_device_memory(copy.source, copy.source_bytes())) {
    return error(cudaErrorInvalidValue, "copy from what is not device memory, or over its end");
  }
  for (size_t row = 0; row < copy.height; row++) {
    std::memmove(static_cast<char*>(copy.target) + row * copy.target_pitch,
                 static_cast<const char*>(copy.source) + row * copy.source_pitch,
                 copy.width);
  }
  return cudaSuccess;
}

bool is_pageable(const void* pointer, size_t size) {
  return !is_device_memory(pointer, size) && !is_pinned(pointer, size);
}

/// Pageable memory is read or written while the call runs, which no graph can repeat.
bool touches_pageable(const Copy2d& copy) {
  return is_pageable(copy.source, copy.source_bytes()) ||
         is_pageable(copy.target, copy.target_bytes());
}

/// Work that waits reads pinned memory when it is done, and pageable memory as it is now.
std::function<cudaError_t()> work_of(const Copy2d& copy) {
  const bool is_read_now = options().late && is_pageable(copy.source, copy.source_bytes());
  if (!is_read_now) return [copy] { return run_copy(copy); };
  const char* const begin = static_cast<const char*>(copy.source);
  return [copy = Copy2d(copy),
          bytes = std::vector<char>(begin, begin + copy.source_bytes())]() mutable {
    copy.source = bytes.data();
    return run_copy(copy);
  };
}

cudaError_t copy_async(const Copy2d& copy, cudaStream_t handle) {
  return api([&] {
    Stream* const stream = runtime().find(handle);
    if (stream && stream->capture && touches_pageable(copy)) {
      return invalidate(*stream->capture,
                        cudaErrorStreamCaptureUnsupported,
                        "copy of pageable memory in a capture");
    }
    const bool is_captured = stream && stream->capture;
    const cudaError_t result = submit(handle, {cudaGraphNodeTypeMemcpy, nullptr, work_of(copy)});
    const bool is_written_now = !is_captured && is_pageable(copy.target, copy.target_bytes());
    return result == cudaSuccess && is_written_now ? finish_work() : result;
  });
}

cudaError_t copy_now(const char* name, const Copy2d& copy) {
  return waiting_api(name, [&] { return run_copy(copy); });
}

cudaError_t fill(void* target, size_t pitch, int value, size_t width, size_t height) {
  if (!width || !height) return cudaSuccess;
  if (!is_device_memory(target, Copy2d::extent(pitch, width, height))) {
    return error(cudaErrorInvalidValue, "fill of what is not device memory, or over its end");
  }
  for (size_t row = 0; row < height; row++) {
    std::memset(static_cast<char*>(target) + row * pitch, value, width);
  }
  return cudaSuccess;
}

cudaError_t fill_async(
    void* target, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return api([&] {
    return submit(stream, {cudaGraphNodeTypeMemset, nullptr, [=] {
                             return fill(target, pitch, value, width, height);
                           }});
  });
}

Variable* variable_of(const void* symbol) {
  const auto found = memory().symbols.find(symbol);
  return found == memory().symbols.end() ? nullptr : find_variable(found->second.c_str());
}

/// Address of `size` bytes of a variable, or null.
char* symbol_place(const void* symbol, size_t size, size_t offset) {
  const Variable* const variable = variable_of(symbol);
  if (!variable || offset + size > variable->size) return nullptr;
  return static_cast<char*>(variable->address) + offset;
}

cudaError_t no_symbol() { return error(cudaErrorInvalidSymbol, "no such variable"); }

}  // namespace

extern "C" {

void __cudaRegisterVar(void**, char* host, char*, const char* name, int, size_t, int, int) {
  memory().symbols[host] = name;
}

cudaError_t cudaMalloc(void** out, size_t size) {
  return unsafe_api("cudaMalloc", [&] { return allocate(out, size); });
}
cudaError_t cudaFree(void* pointer) {
  return waiting_api("cudaFree", [&] { return release(pointer); });
}
cudaError_t cudaMallocAsync(void** out, size_t size, cudaStream_t) {
  return unsafe_api("cudaMallocAsync", [&] { return allocate(out, size); });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) {
  return waiting_api("cudaFreeAsync", [&] { return release(pointer); });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api([&] {
    *total = options().memory_bytes;
    *free = *total - std::min(*total, memory().device_bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** out, size_t size, unsigned) {
  return unsafe_api("cudaHostAlloc", [&] {
    *out = std::malloc(std::max<size_t>(size, 1));
    if (!*out) return error(cudaErrorMemoryAllocation, "out of memory");
    memory().pinned[static_cast<char*>(*out)] = size;
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** out, size_t size) { return cudaHostAlloc(out, size, 0); }
cudaError_t cudaFreeHost(void* pointer) {
  return waiting_api("cudaFreeHost", [&] {
    if (pointer && !memory().pinned.erase(static_cast<char*>(pointer))) {
      return error(cudaErrorInvalidValue, "freed what was not allocated");
    }
    std::free(pointer);
    return cudaSuccess;
  });
}
cudaError_t cudaHostRegister(void* pointer, size_t size, unsigned) {
  return unsafe_api("cudaHostRegister", [&] {
    memory().pinned[static_cast<char*>(pointer)] = size;
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return waiting_api("cudaHostUnregister", [&] {
    const bool was_registered = memory().pinned.erase(static_cast<char*>(pointer)) != 0;
    return was_registered ? cudaSuccess
                          : error(cudaErrorHostMemoryNotRegistered, "memory was not registered");
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api([&] {
    *attributes = {};
    const bool is_device = is_device_memory(pointer, 1), is_host = is_pinned(pointer, 1);
    attributes->type = is_device ? cudaMemoryTypeDevice
                       : is_host ? cudaMemoryTypeHost
                                 : cudaMemoryTypeUnregistered;
    void* const address = const_cast<void*>(pointer);
    if (is_device) attributes->devicePointer = address;
    if (is_host) attributes->hostPointer = address;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* target, const void* source, size_t size, cudaMemcpyKind kind) {
  return copy_now("cudaMemcpy", copy_1d(target, source, size, kind));
}
cudaError_t cudaMemcpyAsync(
    void* target, const void* source, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_async(copy_1d(target, source, size, kind), stream);
}
cudaError_t cudaMemcpy2D(void* target,
                         size_t target_pitch,
                         const void* source,
                         size_t source_pitch,
                         size_t width,
                         size_t height,
                         cudaMemcpyKind kind) {
  return copy_now("cudaMemcpy2D",
                  {target, target_pitch, source, source_pitch, width, height, kind});
}
cudaError_t cudaMemcpy2DAsync(void* target,
                              size_t target_pitch,
                              const void* source,
                              size_t source_pitch,
                              size_t width,
                              size_t height,
                              cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy_async({target, target_pitch, source, source_pitch, width, height, kind}, stream);
}

cudaError_t cudaMemset(void* target, int value, size_t size) {
  return cudaMemset2D(target, size, value, size, 1);
}
cudaError_t cudaMemset2D(void* target, size_t pitch, int value, size_t width, size_t height) {
  return waiting_api("cudaMemset", [&] { return fill(target, pitch, value, width, height); });
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t size, cudaStream_t stream) {
  return fill_async(target, size, value, size, 1, stream);
}
cudaError_t cudaMemset2DAsync(
    void* target, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return fill_async(target, pitch, value, width, height, stream);
}

cudaError_t cudaGetSymbolAddress(void** out, const void* symbol) {
  return api([&] {
    *out = symbol_place(symbol, 0, 0);
    return *out ? cudaSuccess : no_symbol();
  });
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  return api([&] {
    const Variable* const variable = variable_of(symbol);
    if (!variable) return no_symbol();
    *size = variable->size;
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyToSymbol(
    const void* symbol, const void* source, size_t size, size_t offset, cudaMemcpyKind) {
  return waiting_api("cudaMemcpyToSymbol", [&] {
    char* const place = symbol_place(symbol, size, offset);
    if (!place) return no_symbol();
    std::memcpy(place, source, size);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyFromSymbol(
    void* target, const void* symbol, size_t size, size_t offset, cudaMemcpyKind) {
  return waiting_api("cudaMemcpyFromSymbol", [&] {
    const char* const place = symbol_place(symbol, size, offset);
    if (!place) return no_symbol();
    std::memcpy(target, place, size);
    return cudaSuccess;
  });
}

}  // extern "C"
