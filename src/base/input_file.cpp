#include "base/input_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/descriptor_io.h"
#include "dms/error.h"

namespace dms {
namespace {

InputError unreadable(const std::filesystem::path& path, const std::string& why) {
  return InputError({.where = path.string(), .what = "cannot be read: " + why});
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // Without O_NONBLOCK the opening of a pipe would wait for its writer.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) throw unreadable(path, std::strerror(errno));
  struct stat info {};
  const bool is_regular = ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode);
  if (!is_regular) {
    ::close(fd_);
    throw unreadable(path, "not a regular file");
  }
  bytes_ = info.st_size;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  ensure(offset >= 0 && offset <= bytes_ && std::ssize(out) <= bytes_ - offset,
         "bytes of the file as it was opened");
  const int64_t count = read_at(fd_, offset, out);
  if (count < 0) {
    throw RunError(
        {.where = path_.string(), .what = std::string("cannot be read: ") + std::strerror(errno)});
  }
  if (count < std::ssize(out)) {
    throw RunError({.where = path_.string(),
                    .what = "was cut short while it was read",
                    .got = "nothing at byte " + std::to_string(offset + count),
                    .expected = std::to_string(bytes_) + " bytes"});
  }
}

std::string InputFile::read_text(int64_t offset, int64_t count) const {
  std::string text(static_cast<size_t>(count), '\0');
  read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  const InputFile file(path);
  if (file.bytes() > max_bytes) {
    throw InputError({.where = path.string(),
                      .what = "file is too large",
                      .got = std::to_string(file.bytes()) + " bytes",
                      .expected = "at most " + std::to_string(max_bytes)});
  }
  return file.read_text(0, file.bytes());
}

}  // namespace dms
