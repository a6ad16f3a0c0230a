#pragma once
// Codes as bf16 words (cpu/expand.inc.h is the definition): a vector of 32 by a look-up in
// registers. Included inside an anonymous namespace.

#include "kernels/cpu/expand.inc.h"

inline __m512i code_line(const ExpandCall& call, int64_t line) {
  return _mm512_loadu_si512(call.codes + line * 64);
}

inline __m256i code_bytes(const char* codes, int64_t vector) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + vector * 32));
}

inline void store_words(const ExpandCall& call, int64_t vector, __m512i words) {
  _mm512_storeu_si512(call.words + vector * 32, words);
}

/// 16 words, twice.
inline __m512i load_points16(const uint16_t* points) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(points)));
}

/// Of int8: integers up to 127 are bf16 numbers.
struct Int8Words {
  static __m512i words(const char* side, int64_t vector) {
    const auto widen = [](__m128i half) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(half)); };
    const __m256i bytes = code_bytes(side, vector);
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(widen(_mm256_extracti128_si256(bytes, 1)),
                                                         widen(_mm256_castsi256_si128(bytes))));
  }
};

struct Fp8Words {
  static __m512i words(const char* side, int64_t vector) {
    const __m512i codes = _mm512_cvtepu8_epi16(code_bytes(side, vector));
    const __m512i sizes = _mm512_slli_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(0x7f)), 4);
    const __m512i signs = _mm512_slli_epi16(_mm512_srli_epi16(codes, 7), 15);
    const __mmask32 is_number = _mm512_test_epi16_mask(sizes, sizes);
    const __m512i bias = _mm512_set1_epi16(0x3c00);
    return _mm512_or_si512(signs, _mm512_mask_add_epi16(sizes, is_number, sizes, bias));
  }
};

/// Of points16. A look-up reads five bits: the points stand there twice.
struct Points16Words {
  __m512i points;
  explicit Points16Words(const uint16_t* of) : points(load_points16(of)) {}
  __m512i words(const char* side, int64_t vector) const {
    const __m512i line = _mm512_loadu_si512(side + vector / 4 * 64);
    const __m512i shifts = _mm512_set1_epi16(static_cast<short>(vector % 4 * 4));
    return _mm512_permutexvar_epi16(_mm512_srlv_epi16(line, shifts), points);
  }
};

template <class Source>
inline void expand_by(const Source& source, const ExpandCall& call) {
  for (int64_t v = 0; v < call.vectors; ++v) store_words(call, v, source.words(call.codes, v));
}

inline void store_pair(const ExpandCall& call, int64_t k, __m512i first, __m512i second) {
  const int64_t vector = first_vector(call, k);
  store_words(call, vector, first);
  store_words(call, vector + call.pair_distance, second);
}

inline void expand_pairs16(const ExpandCall& call) {
  const __m512i first = load_points16(call.points);
  const __m512i second = load_points16(call.points + 16);
  for (int64_t k = 0; k < call.vectors / 2; k += 4) {
    __m512i index = code_line(call, k / 4);
    for (int64_t j = 0; j < 4; ++j) {
      store_pair(call,
                 k + j,
                 _mm512_permutexvar_epi16(index, first),
                 _mm512_permutexvar_epi16(index, second));
      index = _mm512_srli_epi16(index, 4);
    }
  }
}

/// Looks up six bits of each index.
struct Points64 {
  __m512i low;
  __m512i high;
  explicit Points64(const uint16_t* points)
      : low(_mm512_loadu_si512(points)), high(_mm512_loadu_si512(points + 32)) {}
  __m512i at(__m512i index) const { return _mm512_permutex2var_epi16(low, index, high); }
};

inline void expand_pairs64(const ExpandCall& call) {
  const Points64 first(call.points);
  const Points64 second(call.points + 64);
  const __m512i low_bits = _mm512_set1_epi16(0x0f);
  for (int64_t k = 0; k < call.vectors / 2; k += 8) {
    const int64_t line = k / 8 * 3;
    const __m512i high = code_line(call, line + 2);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      const __m512i low = _mm512_srli_epi16(code_line(call, line + j / 4), j % 4 * 4);
      const __m512i raised =
          j < 2 ? _mm512_slli_epi16(high, 4 - 2 * j) : _mm512_srli_epi16(high, 2 * j - 4);
      const __m512i index = _mm512_ternarylogic_epi32(low_bits, low, raised, 0xca);
      store_pair(call, k + j, first.at(index), second.at(index));
    }
  }
}

/// Looks up eight bits of each index.
struct Points256 {
  const uint16_t* points;
  __m512i at(__m512i index, __mmask32 bit6, __mmask32 bit7) const {
    const __m512i low =
        _mm512_mask_blend_epi16(bit6, Points64(points).at(index), Points64(points + 64).at(index));
    const __m512i high = _mm512_mask_blend_epi16(
        bit6, Points64(points + 128).at(index), Points64(points + 192).at(index));
    return _mm512_mask_blend_epi16(bit7, low, high);
  }
};

inline void expand_pairs256(const ExpandCall& call) {
  const Points256 first{call.points};
  const Points256 second{call.points + 256};
  for (int64_t k = 0; k < call.vectors / 2; ++k) {
    const __m512i index = _mm512_cvtepu8_epi16(code_bytes(call.codes, k));
    const __mmask32 bit6 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x40));
    const __mmask32 bit7 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x80));
    store_pair(call, k, first.at(index, bit6, bit7), second.at(index, bit6, bit7));
  }
}

inline void expand(CodeKind kind, const ExpandCall& call) {
  switch (kind) {
    case CodeKind::int8:
      return expand_by(Int8Words(), call);
    case CodeKind::fp8:
      return expand_by(Fp8Words(), call);
    case CodeKind::points16:
      return expand_by(Points16Words(call.points), call);
    case CodeKind::pairs16:
      return expand_pairs16(call);
    case CodeKind::pairs64:
      return expand_pairs64(call);
    case CodeKind::pairs256:
      return expand_pairs256(call);
    case CodeKind::none:
      return;
  }
}
