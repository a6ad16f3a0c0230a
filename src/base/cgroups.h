#pragma once
// The control groups (version 1 or 2) this process belongs to: where a container's limits stand.

#include <filesystem>
#include <string_view>
#include <vector>

namespace dms {

struct Cgroup {
  int version = 2;
  std::filesystem::path folder;  // may not exist
};

/// The groups whose limits on `controller` ("cpu", "memory") count, each with those above it up to
/// where the hierarchy is mounted. Inside a container the name may be the host's, under which
/// nothing lies here: the mount itself is then the container's group. `root` is where /proc and
/// /sys are looked for.
std::vector<Cgroup> cgroups_of(std::string_view controller, const std::filesystem::path& root);

}  // namespace dms
