#pragma once
// The most memory this process held.

#include <cstdint>
#include <fstream>
#include <string>

namespace dms::cli {

/// Resident, since it began; 0 where the system does not tell. getrusage's figure begins with that
/// of the process which started this one.
inline int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return 1024 * kib;
  }
  return 0;
}

}  // namespace dms::cli
