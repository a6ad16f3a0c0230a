#pragma once
// The types that a GGUF file's tensors may have (ggml.h): what they are called and how many bytes
// a block of their elements takes.

#include <cstdint>
#include <string>
#include <string_view>

namespace dms::gguf {

/// Those that are read; the numbers are the format's.
enum class TensorType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
};

struct TypeLayout {
  uint32_t id;
  std::string_view name;
  int64_t elements;  // of a block; rows hold whole blocks
  int64_t bytes;     // of a block
};

/// Null where the format has no such type.
const TypeLayout* find_layout(uint32_t id);
const TypeLayout& layout_of(TensorType type);

/// Whether it is one of TensorType.
bool is_readable(const TypeLayout& layout);

/// The names of all TensorTypes, as an error lists them.
std::string readable_types();

}  // namespace dms::gguf
