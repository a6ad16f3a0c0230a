#pragma once
// Has the program's C++ allocations counted (held_memory.h), and the most they held. Replaces
// operator new: for one file of a test program.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "support/held_memory.h"

namespace dms::testing_support {

inline std::atomic<int64_t> peak_bytes = 0;

/// The most that `run` holds beyond what was held before it.
template <class Run>
int64_t peak_of(const Run& run) {
  const int64_t before = held_bytes;
  peak_bytes = before;
  run();
  return peak_bytes - before;
}

constexpr size_t kBlockHeader = alignof(std::max_align_t);

/// Null where there is no memory.
inline void* allocate_or_null(size_t bytes) {
  auto* block = static_cast<char*>(std::malloc(bytes + kBlockHeader));
  if (block == nullptr) return nullptr;
  *reinterpret_cast<size_t*>(block) = bytes;
  const int64_t held = held_bytes += static_cast<int64_t>(bytes);
  int64_t peak = peak_bytes;
  while (held > peak && !peak_bytes.compare_exchange_weak(peak, held)) {
  }
  return block + kBlockHeader;
}

inline void* allocate(size_t bytes) {
  void* memory = allocate_or_null(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

inline void release(void* pointer) {
  if (pointer == nullptr) return;
  char* block = static_cast<char*>(pointer) - kBlockHeader;
  held_bytes -= static_cast<int64_t>(*reinterpret_cast<size_t*>(block));
  std::free(block);
}

}  // namespace dms::testing_support

void* operator new(size_t bytes) { return dms::testing_support::allocate(bytes); }
void* operator new[](size_t bytes) { return dms::testing_support::allocate(bytes); }
// Those that do not throw too: a sanitizer's own would not call the ones above.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return dms::testing_support::allocate_or_null(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return dms::testing_support::allocate_or_null(bytes);
}
void operator delete(void* pointer) noexcept { dms::testing_support::release(pointer); }
void operator delete[](void* pointer) noexcept { dms::testing_support::release(pointer); }
void operator delete(void* pointer, size_t) noexcept { dms::testing_support::release(pointer); }
void operator delete[](void* pointer, size_t) noexcept { dms::testing_support::release(pointer); }
