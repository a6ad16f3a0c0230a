#include "base/mapped_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dms/error.h"

namespace dms {
namespace {

InputError unreadable(const std::filesystem::path& path, const std::string& why) {
  return InputError({.where = path.string(), .what = "cannot be read: " + why});
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw unreadable(path, std::strerror(errno));
  struct stat info {};
  const bool is_regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (is_regular && info.st_size > 0) {
    void* memory =
        ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory != MAP_FAILED) {
      data_ = static_cast<const std::byte*>(memory);
      bytes_ = static_cast<size_t>(info.st_size);
    }
  }
  ::close(fd);
  if (!is_regular) throw unreadable(path, "not a regular file");
  if (info.st_size > 0 && data_ == nullptr) throw unreadable(path, "mapping it failed");
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), bytes_);
}

void MappedFile::release(int64_t offset, int64_t count) const {
  const auto page = static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + count) / page * page;
  if (data_ == nullptr || begin >= end) return;
  ::madvise(const_cast<std::byte*>(data_) + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  if (std::ssize(bytes) > max_bytes) {
    throw InputError({.where = path.string(),
                      .what = "file is too large",
                      .got = std::to_string(bytes.size()) + " bytes",
                      .expected = "at most " + std::to_string(max_bytes)});
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace dms
