#include "train/data/progress_line.h"

#include <cstdio>

#include <unistd.h>

namespace dms::train {

DataProgress terminal_progress() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [](const std::string& stage, int64_t done, int64_t total) {
    if (total > 0) {
      const double share = 100.0 * static_cast<double>(done) / static_cast<double>(total);
      std::fprintf(stderr, "\r\x1b[K%s %.0f%%%s", stage.c_str(), share, done == total ? "\n" : "");
    } else {
      std::fprintf(stderr, "\r\x1b[K%s %lld", stage.c_str(), static_cast<long long>(done));
    }
  };
}

}  // namespace dms::train
