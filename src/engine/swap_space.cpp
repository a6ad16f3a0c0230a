#include "engine/swap_space.h"

#include <span>
#include <utility>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/descriptor_io.h"
#include "dms/error.h"

namespace dms::engine {
namespace {

class MemorySlot final : public SwapSpace::Slot {
 public:
  MemorySlot(SwapSpace& space, std::string bytes)
      : Slot(space, std::ssize(bytes)), bytes_(std::move(bytes)) {}
  std::string read() const override { return bytes_; }

 private:
  std::string bytes_;
};

class FileSlot final : public SwapSpace::Slot {
 public:
  /// Takes the file over.
  FileSlot(SwapSpace& space, int fd, int64_t size) : Slot(space, size), fd_(fd) {}
  ~FileSlot() override { ::close(fd_); }

  std::string read() const override {
    std::string text(static_cast<size_t>(bytes()), '\0');
    if (read_at(fd_, 0, std::as_writable_bytes(std::span(text))) != bytes()) {
      throw RunError({.where = "swap_folder", .what = "cannot be read back"});
    }
    return text;
  }

 private:
  int fd_;
};

/// -1 where there can be none.
int open_nameless(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = (folder / "dms-swap-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

std::unique_ptr<SwapSpace::Slot> SwapSpace::put(std::string_view bytes) {
  if (std::ssize(bytes) > limit_bytes_ - used_bytes_) return nullptr;
  if (folder_.empty()) return std::make_unique<MemorySlot>(*this, std::string(bytes));
  const int fd = open_nameless(folder_);
  if (fd < 0) return nullptr;
  if (!write_all(fd, std::as_bytes(std::span(bytes)))) {
    ::close(fd);
    return nullptr;
  }
  return std::make_unique<FileSlot>(*this, fd, std::ssize(bytes));
}

}  // namespace dms::engine
