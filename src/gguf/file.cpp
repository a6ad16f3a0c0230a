#include "gguf/file.h"

#include <array>

#include "base/check.h"
#include "base/file_status.h"

namespace dms::gguf {
namespace {

Header header_of(const InputFile& file) {
  const auto read = [&](int64_t offset, std::span<std::byte> out) { file.read(offset, out); };
  return read_header(read, file.bytes(), file.path().string());
}

}  // namespace

File::File(const std::filesystem::path& path) : file_(path), header_(header_of(file_)) {}

const Tensor* File::find(std::string_view name) const {
  const auto it = header_.tensors.find(name);
  return it == header_.tensors.end() ? nullptr : &it->second;
}

void File::read(const Tensor& tensor, int64_t offset, std::span<std::byte> out) const {
  ensure(offset >= 0 && offset + std::ssize(out) <= tensor.bytes, "bytes of the tensor");
  file_.read(tensor.begin + offset, out);
}

bool is_gguf(const std::filesystem::path& path) {
  constexpr int64_t kMagicBytes = 4;
  if (!is_file(path)) return false;
  if (path.extension() == ".gguf") return true;
  const InputFile file(path);
  return file.bytes() >= kMagicBytes && file.read_text(0, kMagicBytes) == "GGUF";
}

}  // namespace dms::gguf
