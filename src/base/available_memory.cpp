#include "base/available_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace dms {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
constexpr int64_t kKibi = 1024;

std::optional<int64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  int64_t value = 0;
  if (!(in >> value)) return std::nullopt;  // "max" is no number
  return value;
}

int64_t memory_of_the_machine(const fs::path& root) {
  std::ifstream in(root / "proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    constexpr std::string_view kKey = "MemAvailable:";
    if (!line.starts_with(kKey)) continue;
    return std::strtoll(line.c_str() + kKey.size(), nullptr, 10) * kKibi;
  }
  return 0;
}

/// What a group may still take.
int64_t left_of(const fs::path& group, const char* limit_file, const char* usage_file) {
  const std::optional<int64_t> limit = read_number(group / limit_file);
  const std::optional<int64_t> usage = read_number(group / usage_file);
  return limit && usage ? std::max<int64_t>(*limit - *usage, 0) : kUnlimited;
}

/// The least of `group` and those above it, up to where they are mounted. Inside a container the
/// mount itself is the container's group.
int64_t least_left(const fs::path& mount,
                   const fs::path& group,
                   const char* limit_file,
                   const char* usage_file) {
  int64_t least = left_of(mount, limit_file, usage_file);
  fs::path at = mount;
  for (const fs::path& part : group.relative_path()) {
    at /= part;
    least = std::min(least, left_of(at, limit_file, usage_file));
  }
  return least;
}

}  // namespace

int64_t available_memory(const fs::path& root) {
  int64_t least = memory_of_the_machine(root);
  const fs::path mounts = root / "sys/fs/cgroup";
  std::ifstream groups(root / "proc/self/cgroup");
  // A line is ID:CONTROLLERS:PATH; version 2 names no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_left(mounts, group, "memory.max", "memory.current"));
    } else if (controllers == "memory") {
      least = std::min(
          least,
          least_left(mounts / "memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes"));
    }
  }
  return least;
}

}  // namespace dms
