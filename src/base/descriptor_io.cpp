#include "base/descriptor_io.h"

#include <cerrno>

#include <unistd.h>

namespace dms {

int64_t read_at(int fd, int64_t offset, std::span<std::byte> out) {
  int64_t done = 0;
  while (done < std::ssize(out)) {
    const std::span<std::byte> rest = out.subspan(static_cast<size_t>(done));
    const ssize_t count = ::pread(fd, rest.data(), rest.size(), offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    done += count;
  }
  return done;
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace dms
