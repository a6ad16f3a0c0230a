#pragma once
// Where the codes of a page's side lie. Codes make vectors of 32, one a word of bf16's order
// (kv_page.h): element e of a side is lane e % 32 of vector e / 32. Codes for pairs make half as
// many: their vector k stands for two vectors of words, which differ in the channel by 2 (keys) or
// 16 (values), so that a token's codes speak of that token alone.
//   8 bits   [vectors][32] bytes
//   4 bits   [vectors / 4][32] 16-bit words, vector v in bits 4 (v % 4) and on, so that a 64-byte
//            load gives four vectors by shifts
//   6 bits   [vectors / 8][3][32] 16-bit words: the low 4 bits of four vectors, of the next four,
//            and the high 2 bits of all eight

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kv_format_table.h"

namespace dms::kernels {

inline constexpr int64_t kVectorWords = 32;

/// A code's place among the vectors of its side, and the first channel it stands for.
struct CodePlace {
  int64_t vector = 0;
  int64_t lane = 0;
  int64_t channel = 0;
};

constexpr bool is_paired(CodeKind kind) {
  return kind == CodeKind::pairs16 || kind == CodeKind::pairs64 || kind == CodeKind::pairs256;
}

/// From a pair's first channel to its second.
inline int64_t pair_step(Side side) { return side == Side::keys ? 2 : 16; }

/// Codes of one token, padding included.
inline int64_t token_codes(CodeKind kind, const SideSlot& at) {
  return is_paired(kind) ? at.head_dim_padded / 2 : at.head_dim_padded;
}

/// Where code `index` of a token stands.
inline CodePlace code_place(CodeKind kind, const SideSlot& at, int64_t index) {
  const bool paired = is_paired(kind);
  if (at.side == Side::keys) {
    const int64_t channel = paired ? index / 2 * 4 + index % 2 : index;
    return {.vector = channel / (paired ? 4 : 2) * 2 + at.slot / 16,
            .lane = at.slot % 16 * 2 + channel % 2,
            .channel = channel};
  }
  const int64_t channel = paired ? index / 16 * 32 + index % 16 : index;
  const int64_t vector = at.slot / 2 * (at.head_dim_padded / 16) + channel / 16;
  return {.vector = paired ? vector / 2 : vector,
          .lane = channel % 16 * 2 + at.slot % 2,
          .channel = channel};
}

/// `bits` bits, 4 or 2, of the 16-bit word that holds them for `vector`.
struct CodeBits {
  std::byte* byte = nullptr;
  int shift = 0;
  unsigned mask = 0;

  CodeBits(std::byte* words, int64_t vector, int64_t lane, int64_t bits)
      : byte(words + 2 * lane + vector * bits / 8),
        shift(static_cast<int>(vector * bits % 8)),
        mask((1u << bits) - 1) {}
  unsigned get() const { return std::to_integer<unsigned>(*byte) >> shift & mask; }
  void set(unsigned code) const {
    const unsigned others = std::to_integer<unsigned>(*byte) & ~(mask << shift);
    *byte = static_cast<std::byte>(others | (code & mask) << shift);
  }
};

inline CodeBits nibble_at(std::byte* codes, int64_t vector, int64_t lane) {
  return {codes + vector / 4 * 2 * kVectorWords, vector % 4, lane, 4};
}

/// The two parts of a code of 6 bits.
inline CodeBits low_bits_at(std::byte* codes, int64_t vector, int64_t lane) {
  return nibble_at(codes + vector / 8 * 2 * kVectorWords, vector, lane);
}

inline CodeBits high_bits_at(std::byte* codes, int64_t vector, int64_t lane) {
  return {codes + (vector / 8 * 3 + 2) * 2 * kVectorWords, vector % 8, lane, 2};
}

template <CodeKind Kind>
unsigned read_code(std::byte* codes, int64_t vector, int64_t lane) {
  if constexpr (Kind == CodeKind::points16 || Kind == CodeKind::pairs16) {
    return nibble_at(codes, vector, lane).get();
  } else if constexpr (Kind == CodeKind::pairs64) {
    return low_bits_at(codes, vector, lane).get() | high_bits_at(codes, vector, lane).get() << 4;
  } else {
    return std::to_integer<unsigned>(codes[vector * kVectorWords + lane]);
  }
}

template <CodeKind Kind>
void write_code(std::byte* codes, int64_t vector, int64_t lane, unsigned code) {
  if constexpr (Kind == CodeKind::points16 || Kind == CodeKind::pairs16) {
    nibble_at(codes, vector, lane).set(code);
  } else if constexpr (Kind == CodeKind::pairs64) {
    low_bits_at(codes, vector, lane).set(code);
    high_bits_at(codes, vector, lane).set(code >> 4);
  } else {
    codes[vector * kVectorWords + lane] = static_cast<std::byte>(code);
  }
}

template <CodeKind Kind>
void copy_codes(const SideSlot& from, const SideSlot& to) {
  std::memcpy(to.scales + 2 * to.slot, from.scales + 2 * from.slot, 2);
  for (int64_t i = 0; i < token_codes(Kind, from); ++i) {
    const CodePlace source = code_place(Kind, from, i);
    const CodePlace target = code_place(Kind, to, i);
    write_code<Kind>(to.data,
                     target.vector,
                     target.lane,
                     read_code<Kind>(from.data, source.vector, source.lane));
  }
}

}  // namespace dms::kernels
