#pragma once
// One .safetensors file: an 8-byte little-endian header length, a JSON header that names each
// tensor's dtype, shape and byte range, then the bytes. Every field is checked before use: ranges
// lie inside the file, follow one another without overlap or hole, and agree with shape and dtype.
// Thread-safe after construction.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/input_file.h"
#include "base/json.h"

namespace dms {

struct TensorEntry {
  std::string dtype;  // as the header spells it, e.g. "BF16"
  std::vector<int64_t> shape;
  int64_t begin = 0;  // byte offset in the file
  int64_t bytes = 0;
};

/// Bytes of a tensor of this type (the format's spelling) and shape; nothing where the type is
/// unknown or they overflow or end inside a byte.
std::optional<int64_t> tensor_bytes(std::string_view dtype, std::span<const int64_t> shape);

using TensorEntries = std::map<std::string, TensorEntry, std::less<>>;

class SafetensorsFile {
 public:
  /// Throws InputError naming file and field.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const TensorEntries& tensors() const { return tensors_; }
  /// Fills `out` from byte `offset` of the tensor on. Throws RunError when the file has been cut
  /// short since it was opened.
  void read(const TensorEntry& entry, int64_t offset, std::span<std::byte> out) const;

 private:
  InputFile file_;
  TensorEntries tensors_;
};

/// Parses a whole file held in memory; `where` names it in errors. For tests and fuzzing.
TensorEntries parse_safetensors(std::span<const std::byte> file, const std::string& where);

}  // namespace dms
