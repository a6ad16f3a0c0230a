// Attention with 256-bit vectors and FMA. There is no bf16 product: pages are widened to float32 in
// registers, queries and weights are rounded to bf16 but kept as floats.

#include <immintrin.h>

#include "kernels/attention_table.h"

namespace dms::kernels {
namespace {

struct Avx2 {
  static constexpr unsigned kLanes = 8;
  static constexpr bool kLooksUp = false;
  static constexpr unsigned kPageScoreVectors = 2;
  static constexpr unsigned score_pages(unsigned rows) { return rows == 1 ? 2 : 1; }
  static constexpr unsigned value_vectors(unsigned rows) { return rows == 1 ? 4 : 2; }
  using Vector = __m256;

  static Vector set(float x) { return _mm256_set1_ps(x); }
  static Vector load(const float* x) { return _mm256_loadu_ps(x); }
  static void store(float* target, Vector x) { _mm256_storeu_ps(target, x); }
  static Vector load_first(const float* x, int64_t count) {
    if (count >= kLanes) return load(x);
    float items[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) items[i] = x[i];
    return load(items);
  }
  static void store_first(float* target, Vector x, int64_t count) {
    if (count >= kLanes) return store(target, x);
    float items[kLanes];
    store(items, x);
    for (int64_t i = 0; i < count; ++i) target[i] = items[i];
  }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static Vector divide(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static Vector clamp(Vector x, float limit) {
    return _mm256_min_ps(_mm256_max_ps(x, set(-limit)), set(limit));
  }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector round(Vector x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Vector scale_by_power(Vector x, Vector power) {
    // Exponent 0 stands for zero: what lies below the smallest normal number vanishes.
    const __m256i exponent = _mm256_cvtps_epi32(_mm256_max_ps(power, set(-127.0f)));
    const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
  }

  static Vector mask(uint32_t bits, unsigned vector) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i all = _mm256_set1_epi32(static_cast<int>(bits >> (vector * kLanes)));
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, lanes), lanes));
  }
  static Vector max_where(Vector max, Vector mask, Vector x) {
    return _mm256_blendv_ps(max, _mm256_max_ps(max, x), mask);
  }
  static Vector keep_where(Vector mask, Vector x) { return _mm256_and_ps(mask, x); }
  static Vector load_scales(const char* scales) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static float reduce_max(Vector x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
  }
  static float reduce_add(Vector x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
  }
};

struct Bf16 : Avx2 {
  static constexpr unsigned kMaxRows = 4;
  static constexpr unsigned kPack = 2;
  struct Word {
    float low;
    float high;
  };
  struct Factor {
    __m256 low;
    __m256 high;
  };
  using Words = Factor;

  static Words load_words(const char* words) {
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
    const __m256i upper_half = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(packed, 16)),
            _mm256_castsi256_ps(_mm256_and_si256(packed, upper_half))};
  }
  static Factor broadcast(const Word* word) {
    return {_mm256_broadcast_ss(&word->low), _mm256_broadcast_ss(&word->high)};
  }
  static Vector multiply_add(Vector sum, Factor factor, Words words) {
    return fma(factor.high, words.high, fma(factor.low, words.low, sum));
  }
  /// To the nearest bf16, ties to even; NaN stays as it is.
  static Vector to_bf16(Vector x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i carry = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i upper_half = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    const __m256i rounded = _mm256_and_si256(_mm256_add_epi32(bits, carry), upper_half);
    return _mm256_blendv_ps(_mm256_castsi256_ps(rounded), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  static void pack(Vector x, Word* words) { store(&words->low, to_bf16(x)); }
  static Vector pack_weights(Vector low, Vector high, Word* words, Vector sum) {
    const Vector first = to_bf16(low);
    const Vector second = to_bf16(high);
    store(&words->low, first);
    store(&words->low + kLanes, second);
    return _mm256_add_ps(_mm256_add_ps(sum, first), second);
  }
};

struct F32 : Avx2 {
  static constexpr unsigned kMaxRows = 6;
  static constexpr unsigned kPack = 1;
  using Word = float;
  using Words = __m256;
  using Factor = __m256;

  static Words load_words(const char* words) {
    return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
  }
  static Factor broadcast(const Word* word) { return _mm256_broadcast_ss(word); }
  static Vector multiply_add(Vector sum, Factor factor, Words words) {
    return fma(factor, words, sum);
  }
  static void pack(Vector x, Word* words) { store(words, x); }
  static Vector pack_weights(Vector low, Vector high, Word* words, Vector sum) {
    store(words, low);
    store(words + kLanes, high);
    return _mm256_add_ps(_mm256_add_ps(sum, low), high);
  }
};

#include "kernels/cpu/avx2/expand.inc.h"
// What attention_tile.inc.h calls comes first.
#include "kernels/cpu/attention_tile.inc.h"
#include "kernels/cpu/hadamard.inc.h"

}  // namespace

const AttentionTable kAttentionAvx2 = {
    attend<F32>,
    attend<Bf16>,
    hadamard,
};

}  // namespace dms::kernels
