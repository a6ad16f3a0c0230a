#include "model/spec/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kMaxDimensions = 8;
constexpr std::string_view kMetadata = "__metadata__";
constexpr int kMaxHeaderDepth = 3;                      // file, tensor, shape
constexpr int64_t kMaxHeaderValues = int64_t{1} << 23;  // some ten of each tensor

struct TypeBits {
  std::string_view name;
  int64_t bits;
};

// All types the format knows: those we cannot read are an error only when they are needed.
constexpr std::array kTypes{
    TypeBits{"F64", 64}, TypeBits{"F32", 32},    TypeBits{"F16", 16},    TypeBits{"BF16", 16},
    TypeBits{"I64", 64}, TypeBits{"I32", 32},    TypeBits{"I16", 16},    TypeBits{"I8", 8},
    TypeBits{"U64", 64}, TypeBits{"U32", 32},    TypeBits{"U16", 16},    TypeBits{"U8", 8},
    TypeBits{"BOOL", 8}, TypeBits{"F8_E4M3", 8}, TypeBits{"F8_E5M2", 8}, TypeBits{"F8_E8M0", 8},
    TypeBits{"C64", 64}, TypeBits{"F4", 4},      TypeBits{"F6_E2M3", 6}, TypeBits{"F6_E3M2", 6},
};

/// `head`: the file's first bytes, `file_bytes`: all of it.
int64_t header_length(std::span<const std::byte> head,
                      int64_t file_bytes,
                      const std::string& where) {
  if (std::ssize(head) < kLengthBytes) {
    throw InputError({.where = where,
                      .what = "too short for a safetensors file",
                      .got = std::to_string(file_bytes) + " bytes",
                      .expected = "at least 8"});
  }
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof(length));
  const auto limit = static_cast<uint64_t>(std::min(file_bytes - kLengthBytes, kMaxHeaderBytes));
  if (length > limit) {
    throw InputError({.where = where,
                      .what = "header length exceeds the file (truncated or no safetensors file)",
                      .got = std::to_string(length),
                      .expected = "at most " + std::to_string(limit)});
  }
  return static_cast<int64_t>(length);
}

/// Free text about the file, which nobody here reads; but it has one form only.
void check_metadata(const Json& header, const std::string& where) {
  const auto metadata = header.find(kMetadata);
  if (metadata == header.end()) return;
  const JsonFields fields(*metadata, where + ": " + std::string(kMetadata));
  for (const auto& [key, value] : metadata->items()) fields.string(key);
}

std::vector<int64_t> integers(const JsonFields& fields, const char* key, size_t max_count) {
  const Json* value = fields.find(key);
  const std::string where = fields.where() + ": " + key;
  if (value == nullptr || !value->is_array() || value->size() > max_count) {
    throw InputError(
        {.where = where,
         .what = "bad value",
         .expected = "an array of at most " + std::to_string(max_count) + " integers"});
  }
  std::vector<int64_t> numbers;
  for (const Json& item : *value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      throw InputError({.where = where,
                        .what = "bad value",
                        .got = quote_json(item),
                        .expected = "a non-negative integer"});
    }
    numbers.push_back(item.get<int64_t>());
  }
  return numbers;
}

TensorEntry parse_entry(const Json& value,
                        int64_t data_begin,
                        int64_t data_bytes,
                        const std::string& where) {
  const JsonFields fields(value, where);
  TensorEntry entry{.dtype = fields.string("dtype"),
                    .shape = integers(fields, "shape", kMaxDimensions)};
  const std::vector<int64_t> offsets = integers(fields, "data_offsets", 2);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes) {
    throw InputError({.where = where + ": data_offsets",
                      .what = "lies outside the file (truncated or damaged)",
                      .got = Json(offsets).dump(),
                      .expected = "ascending, at most " + std::to_string(data_bytes)});
  }
  entry.begin = data_begin + offsets[0];
  entry.bytes = offsets[1] - offsets[0];
  const std::optional<int64_t> expected = tensor_bytes(entry.dtype, entry.shape);
  if (!expected) {
    throw InputError({.where = where,
                      .what = "unknown dtype or impossible shape",
                      .got = entry.dtype + " " + Json(entry.shape).dump(),
                      .expected = "a safetensors dtype and a shape of whole bytes"});
  }
  if (*expected != entry.bytes) {
    throw InputError({.where = where + ": data_offsets",
                      .what = "byte range does not match dtype and shape",
                      .got = std::to_string(entry.bytes) + " bytes",
                      .expected = std::to_string(*expected)});
  }
  return entry;
}

/// Tensors must tile the data area: no overlap, no hole, no rest.
void check_tiling(const TensorEntries& tensors,
                  int64_t data_begin,
                  int64_t file_bytes,
                  const std::string& where) {
  std::vector<std::pair<const TensorEntry*, const std::string*>> by_offset;
  for (const auto& [name, entry] : tensors) by_offset.emplace_back(&entry, &name);
  std::ranges::sort(by_offset, {}, [](const auto& item) {
    return std::pair(item.first->begin, item.first->bytes);
  });
  int64_t next = data_begin;
  for (const auto& [entry, name] : by_offset) {
    if (entry->begin != next) {
      throw InputError({.where = where + ": tensor " + *name,
                        .what = entry->begin < next ? "overlaps another tensor" : "follows a hole",
                        .got = "byte " + std::to_string(entry->begin),
                        .expected = std::to_string(next)});
    }
    next = entry->begin + entry->bytes;
  }
  if (next != file_bytes) {
    throw InputError({.where = where,
                      .what = "bytes behind the last tensor",
                      .got = std::to_string(file_bytes) + " bytes",
                      .expected = std::to_string(next)});
  }
}

}  // namespace

std::optional<int64_t> tensor_bytes(std::string_view dtype, std::span<const int64_t> shape) {
  const auto* type = std::ranges::find(kTypes, dtype, &TypeBits::name);
  if (type == kTypes.end()) return std::nullopt;
  std::optional<int64_t> bits = type->bits;
  for (const int64_t size : shape) {
    if (bits) bits = checked_mul(*bits, size);
  }
  if (!bits || *bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

namespace {

/// `text`: the header of a file of `file_bytes`.
TensorEntries parse_header(std::string_view text, int64_t file_bytes, const std::string& where) {
  static_assert(std::endian::native == std::endian::little);
  // A name that occurs twice is refused: two readers of such a file could see different weights.
  const Json header =
      parse_json(text,
                 where + ": header",
                 {.depth = kMaxHeaderDepth, .values = kMaxHeaderValues, .unique_keys = true});
  const int64_t data_begin = kLengthBytes + std::ssize(text);
  if (!header.is_object()) {
    throw InputError({.where = where + ": header", .what = "is not a JSON object"});
  }
  check_metadata(header, where);
  TensorEntries tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadata) continue;
    tensors.emplace(
        name, parse_entry(value, data_begin, file_bytes - data_begin, where + ": tensor " + name));
  }
  check_tiling(tensors, data_begin, file_bytes, where);
  return tensors;
}

TensorEntries read_header(const InputFile& file) {
  std::array<std::byte, kLengthBytes> storage{};
  const auto head =
      std::span(storage).first(static_cast<size_t>(std::min(file.bytes(), kLengthBytes)));
  file.read(0, head);
  const std::string where = file.path().string();
  const int64_t length = header_length(head, file.bytes(), where);
  return parse_header(file.read_text(kLengthBytes, length), file.bytes(), where);
}

}  // namespace

TensorEntries parse_safetensors(std::span<const std::byte> file, const std::string& where) {
  const int64_t length = header_length(file, std::ssize(file), where);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<size_t>(length));
  return parse_header(text, std::ssize(file), where);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), tensors_(read_header(file_)) {}

void SafetensorsFile::read(const TensorEntry& entry,
                           int64_t offset,
                           std::span<std::byte> out) const {
  ensure(offset >= 0 && offset + std::ssize(out) <= entry.bytes, "bytes of the tensor");
  file_.read(entry.begin + offset, out);
}

}  // namespace dms
