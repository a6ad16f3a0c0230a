#include "train/data/array_file.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"
#include "dms/error.h"

namespace dms::train::data {

ArrayWriter::ArrayWriter(const std::filesystem::path& path)
    : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
  write_bytes(nullptr, 0);
}

void ArrayWriter::write_bytes(const char* data, size_t bytes) {
  if (file_ && bytes > 0) file_.write(data, static_cast<std::streamsize>(bytes));
  if (file_) return;
  throw RunError({.where = path_.string(),
                  .what = std::string("cannot be written: ") + std::strerror(errno),
                  .hint = "set data.cache_dir to a folder with space"});
}

void ArrayWriter::close() {
  file_.close();
  write_bytes(nullptr, 0);
}

void check_bytes(const InputFile& file, int64_t count, size_t element_bytes) {
  const auto bytes = checked_mul(count, static_cast<int64_t>(element_bytes));
  if (bytes && *bytes == file.bytes()) return;
  throw_damaged(file.path(),
                "has " + std::to_string(file.bytes()) + " bytes, not " + std::to_string(count) +
                    " times " + std::to_string(element_bytes));
}

void throw_damaged(const std::filesystem::path& path, const std::string& what) {
  throw InputError({.where = path.string(),
                    .what = "damaged cache: " + what,
                    .hint = "delete its folder; it is made again"});
}

}  // namespace dms::train::data
