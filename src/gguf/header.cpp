#include "gguf/header.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "dms/error.h"

namespace dms::gguf {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;
constexpr uint32_t kMaxDimensions = 4;
constexpr int64_t kLeastEntryBytes = 8 + 4 + 1;       // key, type and value
constexpr int64_t kLeastTensorBytes = 8 + 4 + 4 + 8;  // name, dimensions, type and offset
constexpr int64_t kMaxValues = int64_t{1} << 24;      // of all arrays together
constexpr int kMaxDepth = 3;                          // arrays inside one another

/// The types of metadata values; the numbers are the format's.
enum class ValueType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

InputError bad(const std::string& where,
               const std::string& what,
               const std::string& got,
               const std::string& expected) {
  return InputError({.where = where, .what = what, .got = got, .expected = expected});
}

/// Fewest bytes that a value of the type takes.
int64_t least_bytes(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::array:
      return 12;
    case ValueType::string:
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
  }
  return 8;
}

/// As JSON text would give it: what is not negative is unsigned.
Json integer(int64_t value) { return value < 0 ? Json(value) : Json(static_cast<uint64_t>(value)); }

/// Reads the values of metadata.
class ValueReader {
 public:
  explicit ValueReader(HeaderReader& in) : in_(in) {}

  /// A value and its type before it; `key` names it in errors.
  Json read(const std::string& key) { return value(type(key), key, 0); }

 private:
  ValueType type(const std::string& key) {
    const auto id = in_.number<uint32_t>(key);
    if (id <= static_cast<uint32_t>(ValueType::f64)) return static_cast<ValueType>(id);
    throw bad(in_.where() + ": " + key, "unknown type of value", std::to_string(id), "0 to 12");
  }

  Json boolean(const std::string& key) {
    const auto byte = in_.number<uint8_t>(key);
    if (byte <= 1) return byte == 1;
    throw bad(in_.where() + ": " + key, "bad value", std::to_string(byte), "a boolean, 0 or 1");
  }

  Json array(const std::string& key, int depth) {
    if (depth >= kMaxDepth) {
      throw bad(in_.where() + ": " + key,
                "arrays nested too deeply",
                std::to_string(depth + 1),
                "at most " + std::to_string(kMaxDepth));
    }
    const ValueType element = type(key);
    const int64_t count = in_.count(least_bytes(element), key);
    values_ += count;
    if (values_ > kMaxValues) {
      throw bad(in_.where() + ": " + key,
                "absurdly many values",
                std::to_string(values_),
                "at most " + std::to_string(kMaxValues) + " in all arrays");
    }
    Json list = Json::array();
    list.get_ref<Json::array_t&>().reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) list.push_back(value(element, key, depth + 1));
    return list;
  }

  Json value(ValueType type, const std::string& key, int depth) {
    switch (type) {
      case ValueType::u8:
        return integer(in_.number<uint8_t>(key));
      case ValueType::i8:
        return integer(in_.number<int8_t>(key));
      case ValueType::u16:
        return integer(in_.number<uint16_t>(key));
      case ValueType::i16:
        return integer(in_.number<int16_t>(key));
      case ValueType::u32:
        return integer(in_.number<uint32_t>(key));
      case ValueType::i32:
        return integer(in_.number<int32_t>(key));
      case ValueType::u64:
        return in_.number<uint64_t>(key);
      case ValueType::i64:
        return integer(in_.number<int64_t>(key));
      case ValueType::f32:
        return static_cast<double>(in_.number<float>(key));
      case ValueType::f64:
        return in_.number<double>(key);
      case ValueType::boolean:
        return boolean(key);
      case ValueType::string:
        return in_.string(key);
      case ValueType::array:
        return array(key, depth);
    }
    return {};
  }

  HeaderReader& in_;
  int64_t values_ = 0;
};

/// The file's first twelve bytes.
void check_version(HeaderReader& in) {
  std::string magic;
  for (size_t i = 0; i < kMagic.size(); ++i) magic += in.number<char>("magic");
  if (magic != kMagic) {
    throw bad(in.where(), "is no GGUF file", quote_json(magic), "the letters GGUF at its start");
  }
  const auto version = in.number<uint32_t>("version");
  if (version >= kOldestVersion && version <= kNewestVersion) return;
  const bool is_big_endian = (version & 0xffffu) == 0;
  throw InputError(
      {.where = in.where() + ": version",
       .what = is_big_endian ? "big-endian files are not supported" : "unsupported version",
       .got = std::to_string(is_big_endian ? version >> 24 : version),
       .expected = "2 or 3, little-endian",
       .hint = is_big_endian ? "convert the model again without --bigendian" : ""});
}

Json read_metadata(HeaderReader& in, int64_t count) {
  Json metadata = Json::object();
  ValueReader values(in);
  for (int64_t i = 0; i < count; ++i) {
    const std::string key = in.string("key " + std::to_string(i + 1) + " of the metadata");
    Json value = values.read(key);
    if (metadata.emplace(key, std::move(value)).second) continue;
    throw InputError({.where = in.where() + ": " + key, .what = "key given twice"});
  }
  return metadata;
}

int64_t alignment_of(const JsonFields& metadata) {
  constexpr const char* kKey = "general.alignment";
  const int64_t alignment = metadata.integer_or(kKey, kDefaultAlignment, 1, kMaxAlignment);
  if ((alignment & (alignment - 1)) == 0) return alignment;
  throw bad(metadata.where() + ": " + kKey,
            "bad value",
            std::to_string(alignment),
            "a power of two, at most " + std::to_string(kMaxAlignment));
}

void refuse_split(const JsonFields& metadata) {
  const int64_t parts = metadata.integer_or("split.count", 1, 0, UINT16_MAX);
  if (parts <= 1) return;
  throw InputError({.where = metadata.where() + ": split.count",
                    .what = "one part of a split file",
                    .got = std::to_string(parts) + " parts",
                    .expected = "a whole model in one file",
                    .hint = "join them with llama.cpp's llama-gguf-split --merge"});
}

/// Bytes of the rows; `where` names the tensor.
int64_t bytes_of(const TypeLayout& type,
                 const std::vector<int64_t>& shape,
                 const std::string& where) {
  const int64_t columns = shape.back();
  if (columns % type.elements != 0) {
    throw bad(where,
              "rows do not divide into blocks",
              std::to_string(columns) + " columns of " + std::string(type.name),
              "a multiple of " + std::to_string(type.elements));
  }
  std::optional<int64_t> bytes = checked_mul(columns / type.elements, type.bytes);
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    if (bytes) bytes = checked_mul(*bytes, shape[i]);
  }
  if (bytes) return *bytes;
  throw bad(where, "impossible shape", Json(shape).dump(), "sizes whose product is a size");
}

std::vector<int64_t> read_shape(HeaderReader& in, const std::string& name) {
  const auto dimensions = in.number<uint32_t>(name);
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    throw bad(in.where() + ": " + name,
              "bad number of dimensions",
              std::to_string(dimensions),
              "1 to " + std::to_string(kMaxDimensions));
  }
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = in.number<uint64_t>(name);
    if (size < 1 || size > static_cast<uint64_t>(INT64_MAX)) {
      throw bad(in.where() + ": " + name, "bad size", std::to_string(size), "1 or more");
    }
    shape.push_back(static_cast<int64_t>(size));
  }
  std::ranges::reverse(shape);
  return shape;
}

/// `begin` counts from the start of the data, which lies behind the table.
Tensor read_tensor(HeaderReader& in, const std::string& name) {
  Tensor tensor{.type = nullptr, .shape = read_shape(in, name)};
  const auto id = in.number<uint32_t>(name);
  tensor.type = find_layout(id);
  const std::string where = in.where() + ": " + name;
  if (tensor.type == nullptr) {
    throw bad(where, "unknown tensor type", std::to_string(id), readable_types());
  }
  tensor.bytes = bytes_of(*tensor.type, tensor.shape, where);
  const auto offset = in.number<uint64_t>(name);
  if (offset > static_cast<uint64_t>(INT64_MAX)) {
    throw bad(where, "lies outside the file", std::to_string(offset), "an offset in the file");
  }
  tensor.begin = static_cast<int64_t>(offset);
  return tensor;
}

Tensors read_tensors(HeaderReader& in, int64_t count) {
  Tensors tensors;
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = in.string("name of tensor " + std::to_string(i + 1));
    Tensor tensor = read_tensor(in, "tensor " + name);
    if (tensors.emplace(name, std::move(tensor)).second) continue;
    throw InputError({.where = in.where() + ": tensor " + name, .what = "given twice"});
  }
  return tensors;
}

/// Turns offsets in the data into offsets in the file, which must hold all of it.
void place(Tensors& tensors, int64_t data_begin, int64_t file_bytes, const std::string& where) {
  for (auto& [name, tensor] : tensors) {
    const std::optional<int64_t> begin = checked_add(tensor.begin, data_begin);
    const std::optional<int64_t> end = begin ? checked_add(*begin, tensor.bytes) : std::nullopt;
    if (!end || *end > file_bytes) {
      throw bad(where + ": tensor " + name,
                "lies outside the file (truncated or damaged)",
                std::to_string(tensor.bytes) + " bytes at " + std::to_string(tensor.begin) +
                    " of the data",
                "at most byte " + std::to_string(std::max<int64_t>(file_bytes - data_begin, 0)));
    }
    tensor.begin = *begin;
  }
}

/// Each tensor begins where the one before it ends, rounded up: llama.cpp demands the same.
void check_tiling(const Tensors& tensors,
                  int64_t data_begin,
                  int64_t alignment,
                  const std::string& where) {
  std::vector<std::pair<const Tensor*, const std::string*>> by_offset;
  for (const auto& [name, tensor] : tensors) by_offset.emplace_back(&tensor, &name);
  std::ranges::sort(by_offset, {}, [](const auto& item) { return item.first->begin; });
  int64_t end = data_begin;
  for (const auto& [tensor, name] : by_offset) {
    const int64_t expected = round_up(end, alignment);
    if (tensor->begin != expected) {
      throw bad(where + ": tensor " + *name,
                tensor->begin < end ? "overlaps another tensor" : "is not where the last one ends",
                "byte " + std::to_string(tensor->begin),
                std::to_string(expected));
    }
    end = tensor->begin + tensor->bytes;
  }
}

}  // namespace

Header read_header(ReadBytes read, int64_t file_bytes, const std::string& where) {
  HeaderReader in(std::move(read), file_bytes, where);
  check_version(in);
  const int64_t tensors = in.count(kLeastTensorBytes, "number of tensors");
  const int64_t entries = in.count(kLeastEntryBytes, "number of metadata entries");
  Header header{.metadata = read_metadata(in, entries), .tensors = {}};
  const JsonFields metadata(header.metadata, where);
  refuse_split(metadata);
  const int64_t alignment = alignment_of(metadata);
  header.tensors = read_tensors(in, tensors);
  const int64_t data_begin = round_up(in.position(), alignment);
  place(header.tensors, data_begin, file_bytes, where);
  check_tiling(header.tensors, data_begin, alignment, where);
  return header;
}

Header parse_header(std::span<const std::byte> file, const std::string& where) {
  const auto read = [file](int64_t offset, std::span<std::byte> out) {
    std::ranges::copy(file.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  return read_header(read, std::ssize(file), where);
}

}  // namespace dms::gguf
