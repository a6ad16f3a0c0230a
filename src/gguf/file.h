#pragma once
// An open GGUF file. Thread-safe after construction.

#include <filesystem>
#include <string_view>

#include "base/input_file.h"
#include "gguf/header.h"

namespace dms::gguf {

class File {
 public:
  /// Throws InputError naming file and field.
  explicit File(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::string where() const { return file_.path().string(); }
  const Json& metadata() const { return header_.metadata; }
  const Tensors& tensors() const { return header_.tensors; }
  /// Null where the file has no such tensor.
  const Tensor* find(std::string_view name) const;

  /// Fills `out` from byte `offset` of the tensor on. Throws RunError when the file has been cut
  /// short since it was opened.
  void read(const Tensor& tensor, int64_t offset, std::span<std::byte> out) const;

 private:
  InputFile file_;
  Header header_;
};

/// Whether a path names a GGUF file: a regular file that is called so or begins as one. Throws as
/// InputFile does.
bool is_gguf(const std::filesystem::path& path);

}  // namespace dms::gguf
