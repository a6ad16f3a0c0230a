#pragma once
// What errors for want of KV memory begin with, wherever they come from: for those who can give
// some back.

#include <string_view>

namespace dms {

inline constexpr const char* kKvMemory = "KV memory";

/// Whether an error's line is one of those.
inline bool is_shortage_of_memory(std::string_view line) { return line.starts_with(kKvMemory); }

}  // namespace dms
