#include "gguf/blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"

namespace dms::gguf {
namespace {

using Block = std::span<const std::byte>;

constexpr size_t kSuperBlock = 256;  // elements of a block of the K types
constexpr size_t kSubBlock = 32;     // of Q4_K and Q5_K: those that share a scale and a minimum
constexpr size_t kSubBlocks = kSuperBlock / kSubBlock;

uint16_t half_bits(Block block, size_t at) {
  uint16_t bits = 0;
  std::memcpy(&bits, &block[at], sizeof(bits));
  return bits;
}

float half_at(Block block, size_t at) { return half_to_float(half_bits(block, at)); }

int low(std::byte byte) { return std::to_integer<int>(byte & std::byte{15}); }
int high(std::byte byte) { return std::to_integer<int>(byte >> 4); }

/// Calls `use(block, place)` for each block; `place`: the number of its first element.
template <class Use>
void for_each_block(TensorType type, Block blocks, const Use& use) {
  const TypeLayout& layout = layout_of(type);
  const auto bytes = static_cast<size_t>(layout.bytes);
  for (size_t i = 0; i * bytes < blocks.size(); ++i) {
    use(blocks.subspan(i * bytes, bytes), i * static_cast<size_t>(layout.elements));
  }
}

/// One block: a scale, where the type has it a minimum, and codes; of four bits the low halves of
/// the bytes come first, then the high ones.
void unpack_codes(TensorType type, Block block, std::span<uint8_t> out) {
  if (type == TensorType::q8_0) {
    const Block bytes = block.subspan(2);
    std::ranges::transform(bytes, out.begin(), [](std::byte byte) {
      return std::to_integer<uint8_t>(byte ^ std::byte{0x80});  // + 128
    });
    return;
  }
  const Block bytes = block.subspan(has_minima(type) ? 4 : 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[i] = static_cast<uint8_t>(low(bytes[i]));
    out[i + bytes.size()] = static_cast<uint8_t>(high(bytes[i]));
  }
}

float minimum_of(TensorType type, Block block) {
  if (has_minima(type)) return half_at(block, 2);
  return (type == TensorType::q8_0 ? -128.0f : -8.0f) * half_at(block, 0);
}

/// No rounding but that of the minimum's sum: a half times a code is exact.
void dequantise_groups(TensorType type, Block blocks, std::span<float> out) {
  std::array<uint8_t, kGroupColumns> codes;
  for_each_block(type, blocks, [&](Block block, size_t place) {
    unpack_codes(type, block, codes);
    const float scale = half_at(block, 0);
    const float minimum = minimum_of(type, block);
    std::ranges::transform(codes, out.subspan(place).begin(), [&](uint8_t code) {
      return scale * static_cast<float>(code) + minimum;
    });
  });
}

struct ScaleAndMinimum {
  float scale;
  float minimum;
};

/// Sub-block `i` of Q4_K and Q5_K: eight scales and minima of six bits each in twelve bytes, the
/// last four of each cut in two.
ScaleAndMinimum scale_and_minimum(Block block, size_t i) {
  const Block packed = block.subspan(4, 12);
  const auto byte = [&](size_t at) { return std::to_integer<unsigned>(packed[at]); };
  const unsigned scale = i < 4 ? byte(i) & 63u : (byte(i + 4) & 15u) | ((byte(i - 4) >> 6) << 4);
  const unsigned minimum = i < 4 ? byte(i + 4) & 63u : (byte(i + 4) >> 4) | ((byte(i) >> 6) << 4);
  return {.scale = half_at(block, 0) * static_cast<float>(scale),
          .minimum = half_at(block, 2) * static_cast<float>(minimum)};
}

/// The codes of sub-block `i`, whose nibbles lie beside its neighbour's; Q5_K has the fifth bit of
/// an element in bit `i` of a byte before them.
void sub_block_codes(TensorType type, Block block, size_t i, std::span<uint8_t> out) {
  const bool has_fifth = type == TensorType::q5_k;
  const Block fifth = block.subspan(16);
  const Block nibbles = block.subspan((has_fifth ? 48 : 16) + i / 2 * kSubBlock, kSubBlock);
  for (size_t k = 0; k < kSubBlock; ++k) {
    int code = i % 2 == 0 ? low(nibbles[k]) : high(nibbles[k]);
    if (has_fifth && std::to_integer<unsigned>(fifth[k] >> static_cast<int>(i)) % 2 == 1) {
      code += 16;
    }
    out[k] = static_cast<uint8_t>(code);
  }
}

/// Of Q4_K and Q5_K.
void dequantise_sub_blocks(TensorType type, Block block, std::span<float> out) {
  std::array<uint8_t, kSubBlock> codes;
  for (size_t i = 0; i < kSubBlocks; ++i) {
    const ScaleAndMinimum parts = scale_and_minimum(block, i);
    sub_block_codes(type, block, i, codes);
    std::ranges::transform(codes, out.subspan(i * kSubBlock).begin(), [&](uint8_t code) {
      return parts.scale * static_cast<float>(code) - parts.minimum;
    });
  }
}

void unpack_sub_blocks(TensorType type, Block block, size_t place, const Groups& out) {
  for (size_t i = 0; i < kSubBlocks; ++i) {
    const ScaleAndMinimum parts = scale_and_minimum(block, i);
    const size_t at = place + i * kSubBlock;
    sub_block_codes(type, block, i, out.codes.subspan(at, kSubBlock));
    out.scales[at / kSubBlock] = parts.scale;
    out.minima[at / kSubBlock] = -parts.minimum;
  }
}

/// Q6_K: 128 bytes of low halves, 64 of upper two bits, sixteen scales of 8 bits, one half. Each
/// half block of 128 elements is four runs of 32, whose parts lie beside one another.
void dequantise_q6_k(Block block, std::span<float> out) {
  const float scale = half_at(block, 208);
  for (size_t run = 0; run < 8; ++run) {
    const Block lower = block.subspan(run / 4 * 64 + run % 2 * 32, 32);
    const Block upper = block.subspan(128 + run / 4 * 32, 32);
    const auto upper_shift = static_cast<int>(run % 4 * 2);
    const int lower_shift = run % 4 < 2 ? 0 : 4;
    for (size_t k = 0; k < 32; ++k) {
      const int code = low(lower[k] >> lower_shift) | low(upper[k] >> upper_shift) % 4 << 4;
      out[run * 32 + k] = static_cast<float>(code - 32);
    }
  }
  for (size_t i = 0; i < 16; ++i) {
    const auto own = static_cast<float>(std::to_integer<int8_t>(block[192 + i])) * scale;
    for (float& value : out.subspan(i * 16, 16)) value *= own;
  }
}

/// Through a buffer of halves, so that the loop becomes vector code.
template <class ToFloat>
void convert(Block bytes, std::span<float> out, const ToFloat& to_float_value) {
  std::array<uint16_t, 512> storage;
  while (!out.empty()) {
    const auto bits = std::span(storage).first(std::min(storage.size(), out.size()));
    std::memcpy(bits.data(), bytes.data(), bits.size_bytes());
    std::ranges::transform(bits, out.begin(), to_float_value);
    bytes = bytes.subspan(bits.size_bytes());
    out = out.subspan(bits.size());
  }
}

}  // namespace

bool is_grouped(TensorType type) {
  return type == TensorType::q8_0 || type == TensorType::q4_0 || type == TensorType::q4_1 ||
         type == TensorType::q4_k || type == TensorType::q5_k;
}

bool has_minima(TensorType type) {
  return type == TensorType::q4_1 || type == TensorType::q4_k || type == TensorType::q5_k;
}

int64_t code_bits(TensorType type) {
  return type == TensorType::q8_0 || type == TensorType::q5_k ? 8 : 4;
}

void unpack(TensorType type, std::span<const std::byte> blocks, const Groups& out) {
  ensure(is_grouped(type), "a type of groups");
  constexpr auto kColumns = static_cast<size_t>(kGroupColumns);
  for_each_block(type, blocks, [&](Block block, size_t place) {
    if (type == TensorType::q4_k || type == TensorType::q5_k) {
      return unpack_sub_blocks(type, block, place, out);
    }
    unpack_codes(type, block, out.codes.subspan(place, kColumns));
    out.scales[place / kColumns] = half_at(block, 0);
    out.minima[place / kColumns] = minimum_of(type, block);
  });
}

void dequantise(TensorType type, std::span<const std::byte> blocks, std::span<float> out) {
  const TypeLayout& layout = layout_of(type);
  ensure(std::ssize(blocks) / layout.bytes * layout.elements == std::ssize(out) &&
             std::ssize(blocks) % layout.bytes == 0,
         "whole blocks");
  if (type == TensorType::f32) {
    if (!out.empty()) std::memcpy(out.data(), blocks.data(), blocks.size());
  } else if (type == TensorType::f16) {
    convert(blocks, out, [](uint16_t bits) { return half_to_float(bits); });
  } else if (type == TensorType::bf16) {
    convert(blocks, out, [](uint16_t bits) { return to_float(BFloat16{bits}); });
  } else if (layout.elements == kGroupColumns) {
    dequantise_groups(type, blocks, out);
  } else {
    for_each_block(type, blocks, [&](Block block, size_t place) {
      const std::span<float> values = out.subspan(place, kSuperBlock);
      if (type == TensorType::q6_k) {
        dequantise_q6_k(block, values);
      } else {
        dequantise_sub_blocks(type, block, values);
      }
    });
  }
}

}  // namespace dms::gguf
