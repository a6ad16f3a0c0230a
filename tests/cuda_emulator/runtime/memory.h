#pragma once
// Device memory, for the runtime API. Thread-safe.

#include <cstddef>

namespace cuda_emulator {

void add_allocation(void* pointer, size_t size);
/// Returns false where nothing was allocated at the address.
bool remove_allocation(void* pointer);
/// Whether all bytes lie in one allocation or variable.
bool is_device_memory(const void* pointer, size_t size);

}  // namespace cuda_emulator
