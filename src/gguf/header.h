#pragma once
// What stands at the front of a GGUF file (ggml's gguf.md, versions 2 and 3, little-endian):
// metadata and the table of its tensors.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "gguf/header_reader.h"
#include "gguf/tensor_type.h"

namespace dms::gguf {

struct Tensor {
  const TypeLayout* type;
  std::vector<int64_t> shape;  // [rows, columns], the other way round than the file has it
  int64_t begin = 0;           // byte offset in the file
  int64_t bytes = 0;
};

using Tensors = std::map<std::string, Tensor, std::less<>>;

struct Header {
  Json metadata = Json::object();  // by key; a number has the kind the file gives it
  Tensors tensors;
};

/// Reads the front of a file of `file_bytes`. Every tensor lies inside the file, behind the one
/// before it. Throws InputError naming `where`, key or tensor, and also for a part of a split file
/// and for one of the other byte order.
Header read_header(ReadBytes read, int64_t file_bytes, const std::string& where);

/// The same for a file held in memory. For tests and fuzzing.
Header parse_header(std::span<const std::byte> file, const std::string& where);

}  // namespace dms::gguf
