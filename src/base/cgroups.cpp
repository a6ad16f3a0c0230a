#include "base/cgroups.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace dms {
namespace {

namespace fs = std::filesystem;

bool lists(std::string_view controllers, std::string_view controller) {
  for (size_t begin = 0; begin <= controllers.size();) {
    const size_t end = std::min(controllers.find(',', begin), controllers.size());
    if (controllers.substr(begin, end - begin) == controller) return true;
    begin = end + 1;
  }
  return false;
}

void add_with_those_above(int version,
                          const fs::path& mount,
                          const fs::path& group,
                          std::vector<Cgroup>& out) {
  out.push_back({.version = version, .folder = mount});
  fs::path at = mount;
  for (const fs::path& part : group.relative_path()) {
    at /= part;
    out.push_back({.version = version, .folder = at});
  }
}

}  // namespace

std::vector<Cgroup> cgroups_of(std::string_view controller, const fs::path& root) {
  const fs::path mounts = root / "sys/fs/cgroup";
  std::vector<Cgroup> out;
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
        add_with_those_above(2, mount, group, out);
      }
    } else if (lists(controllers, controller)) {
      for (const fs::path& mount : {mounts / controllers, mounts / controller}) {
        add_with_those_above(1, mount, group, out);
      }
    }
  }
  return out;
}

}  // namespace dms
