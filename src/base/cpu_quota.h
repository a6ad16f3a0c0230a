#pragma once
// How many CPUs' time a process's control groups grant it: containers are limited so, and threads
// beyond the limit are stopped for the rest of each period together with those they wait for.

#include <cstdint>
#include <filesystem>

namespace dms {

/// The tightest CPU quota of this process's cgroups (version 1 or 2) and of those above them, in
/// whole CPUs, rounded up; the largest int64_t where there is none. `root` is where /proc and /sys
/// are looked for.
int64_t cpus_of_quota(const std::filesystem::path& root = "/");

}  // namespace dms
