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

#include "base/json.h"
#include "base/mapped_file.h"

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

class SafetensorsFile {
 public:
  /// Throws InputError naming file and field.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }
  std::span<const std::byte> bytes(const TensorEntry& entry) const;
  void release(const TensorEntry& entry) const { file_.release(entry.begin, entry.bytes); }

 private:
  MappedFile file_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

/// Parses a whole file held in memory; `where` names it in errors. For tests and fuzzing.
std::map<std::string, TensorEntry, std::less<>> parse_safetensors(std::span<const std::byte> file,
                                                                  const std::string& where);

}  // namespace dms
