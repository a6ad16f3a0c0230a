#pragma once
// The most memory this process held.

#include <cstdint>

#include <sys/resource.h>

namespace dms::cli {

/// Resident, since it began.
inline int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace dms::cli
