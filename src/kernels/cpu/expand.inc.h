#pragma once
// Codes of a page's side as bf16 words (kv_codes.h says how codes lie): the definition, in plain
// loops. Included inside an anonymous namespace.

constexpr int64_t kCodeLanes = 32;

inline unsigned byte_at(const char* codes, int64_t at) {
  return static_cast<unsigned char>(codes[at]);
}

/// The 16-bit word `at` of a row of kCodeLanes.
inline unsigned word_at(const char* codes, int64_t at) {
  return byte_at(codes, 2 * at) | byte_at(codes, 2 * at + 1) << 8;
}

inline uint16_t int8_word(unsigned code) {
  const auto value = static_cast<float>(static_cast<signed char>(code));
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

inline uint16_t fp8_word(unsigned code) {
  const unsigned size = code & 0x7fu;
  return static_cast<uint16_t>((code & 0x80u) << 8 | (size == 0 ? 0u : (size << 4) + 0x3c00u));
}

/// Words by a function of the code's byte.
template <class Word>
inline void expand_bytes(const ExpandCall& call, Word word) {
  for (int64_t i = 0; i < call.vectors * kCodeLanes; ++i) {
    call.words[i] = word(byte_at(call.codes, i));
  }
}

inline unsigned code4(const char* codes, int64_t vector, int64_t lane) {
  return word_at(codes + vector / 4 * 2 * kCodeLanes, lane) >> vector % 4 * 4 & 15u;
}

inline unsigned code6(const char* codes, int64_t vector, int64_t lane) {
  const char* low = codes + vector / 8 * 6 * kCodeLanes;
  const unsigned high = word_at(low + 4 * kCodeLanes, lane) >> vector % 8 * 2 & 3u;
  return code4(low, vector % 8, lane) | high << 4;
}

inline void expand_points(const ExpandCall& call) {
  for (int64_t v = 0; v < call.vectors; ++v) {
    for (int64_t lane = 0; lane < kCodeLanes; ++lane) {
      call.words[v * kCodeLanes + lane] = call.points[code4(call.codes, v, lane)];
    }
  }
}

/// Where vector k of pairs puts its first words; the second ones follow pair_distance vectors on.
inline int64_t first_vector(const ExpandCall& call, int64_t k) {
  return k / call.pair_distance * 2 * call.pair_distance + k % call.pair_distance;
}

template <class Code>
inline void expand_pairs(const ExpandCall& call, int64_t points, Code code) {
  for (int64_t k = 0; k < call.vectors / 2; ++k) {
    uint16_t* first = call.words + first_vector(call, k) * kCodeLanes;
    uint16_t* second = first + call.pair_distance * kCodeLanes;
    for (int64_t lane = 0; lane < kCodeLanes; ++lane) {
      const unsigned index = code(call.codes, k, lane);
      first[lane] = call.points[index];
      second[lane] = call.points[points + index];
    }
  }
}

inline void expand_plainly(CodeKind kind, const ExpandCall& call) {
  switch (kind) {
    case CodeKind::int8:
      return expand_bytes(call, int8_word);
    case CodeKind::fp8:
      return expand_bytes(call, fp8_word);
    case CodeKind::points16:
      return expand_points(call);
    case CodeKind::pairs16:
      return expand_pairs(call, 16, code4);
    case CodeKind::pairs64:
      return expand_pairs(call, 64, code6);
    case CodeKind::pairs256:
      return expand_pairs(call, 256, [](const char* codes, int64_t vector, int64_t lane) {
        return byte_at(codes, vector * kCodeLanes + lane);
      });
    case CodeKind::none:
      return;
  }
}
