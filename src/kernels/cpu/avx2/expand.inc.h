#pragma once
// Codes as bf16 words (cpu/expand.inc.h is the definition, and does the pairs): 16 words a vector.
// Included inside an anonymous namespace.

#include "kernels/cpu/expand.inc.h"

inline __m128i code_bytes(const ExpandCall& call, int64_t at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(call.codes + at));
}

inline void store_words(const ExpandCall& call, int64_t at, __m256i words) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(call.words + at), words);
}

/// Integers up to 127 are bf16 numbers: the upper halves of floats.
inline void expand_int8(const ExpandCall& call) {
  const auto widen = [](__m128i bytes) {
    const __m256 floats = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    return _mm256_srli_epi32(_mm256_castps_si256(floats), 16);
  };
  for (int64_t at = 0; at < call.vectors * kCodeLanes; at += 16) {
    const __m128i bytes = code_bytes(call, at);
    const __m256i mixed = _mm256_packus_epi32(widen(bytes), widen(_mm_srli_si128(bytes, 8)));
    store_words(call, at, _mm256_permute4x64_epi64(mixed, 0xd8));
  }
}

inline void expand_fp8(const ExpandCall& call) {
  const __m256i bias = _mm256_set1_epi16(0x3c00);
  for (int64_t at = 0; at < call.vectors * kCodeLanes; at += 16) {
    const __m256i codes = _mm256_cvtepu8_epi16(code_bytes(call, at));
    const __m256i sizes = _mm256_slli_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(0x7f)), 4);
    const __m256i signs = _mm256_slli_epi16(_mm256_srli_epi16(codes, 7), 15);
    const __m256i is_zero = _mm256_cmpeq_epi16(sizes, _mm256_setzero_si256());
    const __m256i numbers = _mm256_add_epi16(sizes, _mm256_andnot_si256(is_zero, bias));
    store_words(call, at, _mm256_or_si256(signs, numbers));
  }
}

/// The low or high bytes of 16 words, for both halves of a vector.
inline __m256i point_bytes(const uint16_t* points, int shift) {
  alignas(16) unsigned char bytes[16];
  for (int i = 0; i < 16; ++i) bytes[i] = static_cast<unsigned char>(points[i] >> shift);
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(bytes)));
}

inline void expand_points16(const ExpandCall& call) {
  const __m256i low = point_bytes(call.points, 0);
  const __m256i high = point_bytes(call.points, 8);
  const __m256i low_bits = _mm256_set1_epi16(0x0f);
  const __m256i no_high = _mm256_set1_epi16(static_cast<short>(0x8000));
  const __m256i no_low = _mm256_set1_epi16(0x0080);
  for (int64_t v = 0; v < call.vectors; v += 4) {
    for (int64_t half = 0; half < 2; ++half) {
      const char* line = call.codes + v * 16 + half * 32;
      __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(line));
      for (int64_t j = 0; j < 4; ++j) {
        const __m256i index = _mm256_and_si256(codes, low_bits);
        const __m256i first = _mm256_shuffle_epi8(low, _mm256_or_si256(index, no_high));
        const __m256i raised = _mm256_or_si256(_mm256_slli_epi16(index, 8), no_low);
        const __m256i words = _mm256_or_si256(first, _mm256_shuffle_epi8(high, raised));
        store_words(call, (v + j) * kCodeLanes + half * 16, words);
        codes = _mm256_srli_epi16(codes, 4);
      }
    }
  }
}

inline void expand(CodeKind kind, const ExpandCall& call) {
  switch (kind) {
    case CodeKind::int8:
      return expand_int8(call);
    case CodeKind::fp8:
      return expand_fp8(call);
    case CodeKind::points16:
      return expand_points16(call);
    default:
      return expand_plainly(kind, call);
  }
}
