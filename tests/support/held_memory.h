#pragma once
// What the program's C++ allocations hold, where one of its files includes peak_memory.h.

#include <atomic>
#include <cstdint>

namespace dms::testing_support {

inline std::atomic<int64_t> held_bytes = 0;

}  // namespace dms::testing_support
