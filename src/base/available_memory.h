#pragma once
// How much memory this process could still take without anything being swapped or killed for it.

#include <cstdint>
#include <filesystem>

namespace dms {

/// What the kernel calls available, and no more than this process's cgroups (version 1 or 2) have
/// left; 0 where it cannot be told. `root` is where /proc and /sys are looked for.
int64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace dms
