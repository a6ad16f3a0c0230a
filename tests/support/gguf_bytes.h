#pragma once
// GGUF files put together by hand, so that a test can bend any part of one.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dms::testing_support {

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

inline std::string gguf_string(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

/// A metadata value with its type before it.
inline std::string gguf_u32(uint32_t value) { return raw(uint32_t{4}) + raw(value); }
inline std::string gguf_f32(float value) { return raw(uint32_t{6}) + raw(value); }
inline std::string gguf_bool(bool value) { return raw(uint32_t{7}) + raw(uint8_t{value}); }
inline std::string gguf_text(std::string_view text) { return raw(uint32_t{8}) + gguf_string(text); }

inline std::string gguf_array(uint32_t type, uint64_t count, const std::string& values) {
  return raw(uint32_t{9}) + raw(type) + raw(count) + values;
}

inline std::string gguf_texts(const std::vector<std::string>& texts) {
  std::string values;
  for (const std::string& text : texts) values += gguf_string(text);
  return gguf_array(8, texts.size(), values);
}

template <class T>
std::string gguf_numbers(uint32_t type, const std::vector<T>& numbers) {
  std::string values;
  for (const T number : numbers) values += raw(number);
  return gguf_array(type, numbers.size(), values);
}

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> sizes;  // columns first, as the file has them
  uint32_t type = 0;            // F32
  std::string data{};
  int64_t offset = -1;  // -1: behind the one before
};

struct GgufParts {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::pair<std::string, std::string>> metadata{};
  std::vector<GgufTensor> tensors{};
  int64_t tensor_count = -1;  // -1: as many as there are
  int64_t entry_count = -1;
  size_t alignment = 32;  // of the data; metadata say it themselves
};

inline void pad(std::string& bytes, size_t alignment) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
}

inline std::string gguf_bytes(const GgufParts& parts) {
  const auto count = [](int64_t stated, size_t real) {
    return raw(stated < 0 ? uint64_t{real} : static_cast<uint64_t>(stated));
  };
  std::string file = parts.magic + raw(parts.version) +
                     count(parts.tensor_count, parts.tensors.size()) +
                     count(parts.entry_count, parts.metadata.size());
  for (const auto& [key, value] : parts.metadata) file += gguf_string(key) + value;
  std::string data;
  for (const GgufTensor& tensor : parts.tensors) {
    pad(data, parts.alignment);
    file += gguf_string(tensor.name) + raw(static_cast<uint32_t>(tensor.sizes.size()));
    for (const uint64_t size : tensor.sizes) file += raw(size);
    file += raw(tensor.type) +
            raw(tensor.offset < 0 ? uint64_t{data.size()} : static_cast<uint64_t>(tensor.offset));
    data += tensor.data;
  }
  pad(file, parts.alignment);
  return file + data;
}

}  // namespace dms::testing_support
