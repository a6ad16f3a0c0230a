#include "base/available_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/cgroups.h"

namespace dms {
namespace {

namespace fs = std::filesystem;

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
int64_t left_of(const Cgroup& group) {
  const bool is_v2 = group.version == 2;
  const auto limit = read_number(group.folder / (is_v2 ? "memory.max" : "memory.limit_in_bytes"));
  const auto usage =
      read_number(group.folder / (is_v2 ? "memory.current" : "memory.usage_in_bytes"));
  const bool is_limited = limit && usage;
  return is_limited ? std::max<int64_t>(*limit - *usage, 0) : std::numeric_limits<int64_t>::max();
}

}  // namespace

int64_t available_memory(const fs::path& root) {
  int64_t least = memory_of_the_machine(root);
  for (const Cgroup& group : cgroups_of("memory", root)) least = std::min(least, left_of(group));
  return least;
}

}  // namespace dms
