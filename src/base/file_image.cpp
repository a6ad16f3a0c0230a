#include "base/file_image.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "dms/error.h"

namespace dms {
namespace {

bool is_ours_alone(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return false;
  return info.st_uid == ::geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::shared_ptr<const void> map(const InputFile& file) {
  const auto bytes = static_cast<size_t>(file.bytes());
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.descriptor(), 0);
  if (memory == MAP_FAILED) {
    throw RunError({.where = file.path().string(),
                    .what = std::string("cannot be mapped: ") + std::strerror(errno)});
  }
  return {memory, [bytes](void* mapped) { ::munmap(mapped, bytes); }};
}

}  // namespace

FileImage::FileImage(const std::filesystem::path& path) {
  const InputFile file(path);
  if (file.bytes() > 0 && is_ours_alone(file.descriptor())) {
    mapping_ = map(file);
    bytes_ = {static_cast<const char*>(mapping_.get()), static_cast<size_t>(file.bytes())};
    return;
  }
  const auto text = std::make_shared<const std::string>(file.read_text(0, file.bytes()));
  bytes_ = *text;
  text_ = text;
}

}  // namespace dms
