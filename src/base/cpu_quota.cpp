#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dms {
namespace {

namespace fs = std::filesystem;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

std::optional<double> read_number(const fs::path& file) {
  std::ifstream in(file);
  double value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
}

double cpus(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

/// Version 2: "QUOTA PERIOD", or "max PERIOD" without a limit.
double limit_v2(const fs::path& group) {
  std::ifstream in(group / "cpu.max");
  double quota = 0;
  double period = 0;
  return in >> quota >> period ? cpus(quota, period) : kUnlimited;
}

/// Version 1: two files; a quota of -1 is no limit.
double limit_v1(const fs::path& group) {
  return cpus(read_number(group / "cpu.cfs_quota_us").value_or(-1),
              read_number(group / "cpu.cfs_period_us").value_or(-1));
}

/// The tightest limit from `group` up to where the hierarchy is mounted. Inside a container the
/// name may be the host's, under which nothing lies here: the mount itself is then the container's
/// group.
double tightest(const fs::path& mount, const fs::path& group, double (*limit)(const fs::path&)) {
  double least = limit(mount);
  fs::path at = mount;
  for (const fs::path& part : group.relative_path()) {
    at /= part;
    least = std::min(least, limit(at));
  }
  return least;
}

bool lists_cpu(std::string_view controllers) {
  for (size_t begin = 0; begin <= controllers.size();) {
    const size_t end = std::min(controllers.find(',', begin), controllers.size());
    if (controllers.substr(begin, end - begin) == "cpu") return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

int64_t cpus_of_quota(const fs::path& root) {
  const fs::path mounts = root / "sys/fs/cgroup";
  double least = kUnlimited;
  std::ifstream groups(root / "proc/self/cgroup");
  // A line is ID:CONTROLLERS:PATH; version 2 has the id 0 and names no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      for (const fs::path& mount : {mounts, mounts / "unified"}) {
        least = std::min(least, tightest(mount, group, limit_v2));
      }
    } else if (lists_cpu(controllers)) {
      for (const fs::path& mount : {mounts / controllers, mounts / "cpu"}) {
        least = std::min(least, tightest(mount, group, limit_v1));
      }
    }
  }
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  const double whole = std::ceil(least);
  return whole < 1e9 ? static_cast<int64_t>(whole) : kMost;
}

}  // namespace dms
