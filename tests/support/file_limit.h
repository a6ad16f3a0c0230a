#pragma once
// A disk that fills: while an object lives, no file of this process grows beyond a limit.

#include <csignal>
#include <cstdint>

#include <sys/resource.h>

namespace dms::testing_support {

class FileLimit {
 public:
  explicit FileLimit(int64_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit then fails, as on a full disk
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(bytes);
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace dms::testing_support
