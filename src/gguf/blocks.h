#pragma once
// The numbers in GGUF's blocks, as ggml-quants.c defines them: the same float32 as ggml and the
// `gguf` package give.

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/tensor_type.h"

namespace dms::gguf {

inline constexpr int64_t kGroupColumns = 32;  // of grouped types

/// Whole blocks as float32; `out` has as many elements as `blocks` hold.
void dequantise(TensorType type, std::span<const std::byte> blocks, std::span<float> out);

/// Q8_0, Q4_0, Q4_1, Q4_K and Q5_K: each group of columns has one scale.
bool is_grouped(TensorType type);
/// Q4_1, Q4_K and Q5_K: and a minimum of its own.
bool has_minima(TensorType type);
/// Of a grouped type: 8 or 4. Q5_K's codes need 5 and have 8.
int64_t code_bits(TensorType type);

/// Room for groups: kGroupColumns codes of 0 to 2^bits - 1, a scale and a minimum each. An element
/// is scale * code + minimum; without minima of its own a group's is -2^(bits - 1) * scale.
struct Groups {
  std::span<uint8_t> codes;
  std::span<float> scales;
  std::span<float> minima;
};

/// The parts of whole blocks of a grouped type.
void unpack(TensorType type, std::span<const std::byte> blocks, const Groups& out);

}  // namespace dms::gguf
