#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>

#include "base/cgroups.h"

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

}  // namespace

int64_t cpus_of_quota(const fs::path& root) {
  double least = kUnlimited;
  for (const Cgroup& group : cgroups_of("cpu", root)) {
    least = std::min(least, group.version == 2 ? limit_v2(group.folder) : limit_v1(group.folder));
  }
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  const double whole = std::ceil(least);
  return whole < 1e9 ? static_cast<int64_t>(whole) : kMost;
}

}  // namespace dms
