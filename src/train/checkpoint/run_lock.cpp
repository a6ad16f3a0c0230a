#include "train/checkpoint/run_lock.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "dms/error.h"

namespace dms::train {
namespace {

/// The holder's process id as it wrote it, for the message alone.
std::string holder(int file) {
  std::array<char, 32> text{};
  const ssize_t count = pread(file, text.data(), text.size(), 0);
  return count > 0 ? std::string(text.data(), static_cast<size_t>(count)) : "unknown";
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& output_dir) {
  std::error_code ignored;  // the opening tells
  std::filesystem::create_directories(output_dir, ignored);
  const std::filesystem::path path = output_dir / ".run-lock";
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) {
    throw InputError({.where = path.string(),
                      .what = std::string("cannot be written: ") + std::strerror(errno),
                      .hint = "check hf_trainer.output_dir"});
  }
  if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    const std::string process = holder(file_);
    close(file_);
    throw InputError({.where = output_dir.string(),
                      .what = "another run is writing there",
                      .got = "process " + process,
                      .hint = "wait for it, or choose another hf_trainer.output_dir"});
  }
  const std::string own = std::to_string(getpid());
  if (ftruncate(file_, 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(file_, own.data(), own.size(), 0);
  }
}

RunLock::~RunLock() { close(file_); }

}  // namespace dms::train
