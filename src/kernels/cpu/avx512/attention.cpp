// Attention with 512-bit vectors; bf16 pages by vdpbf16ps.

#include <immintrin.h>

#include "kernels/attention_table.h"

namespace dms::kernels {
namespace {

#include "kernels/cpu/avx512/expand.inc.h"

struct Avx512 {
  static constexpr unsigned kLanes = 16;
  static constexpr unsigned kMaxRows = 12;
  static constexpr unsigned kPageScoreVectors = 2;
  using Vector = __m512;
  static constexpr unsigned score_pages(unsigned rows) { return rows <= 3 ? 4 : rows <= 6 ? 2 : 1; }
  static constexpr unsigned value_vectors(unsigned rows) { return rows <= 6 ? 4 : 2; }
  using Words = __m512i;
  using Factor = __m512i;

  static __mmask16 first(int64_t count) {
    return count >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1u << count) - 1u);
  }

  static Vector set(float x) { return _mm512_set1_ps(x); }
  static Vector load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* target, Vector x) { _mm512_storeu_ps(target, x); }
  static Vector load_first(const float* x, int64_t count) {
    return _mm512_maskz_loadu_ps(first(count), x);
  }
  static void store_first(float* target, Vector x, int64_t count) {
    _mm512_mask_storeu_ps(target, first(count), x);
  }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static Vector divide(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  static Vector clamp(Vector x, float limit) {
    return _mm512_min_ps(_mm512_max_ps(x, set(-limit)), set(limit));
  }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector round(Vector x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Vector scale_by_power(Vector x, Vector power) { return _mm512_scalef_ps(x, power); }

  static __mmask16 mask(uint32_t bits, unsigned vector) {
    return static_cast<__mmask16>(bits >> (vector * kLanes));
  }
  static Vector max_where(Vector max, __mmask16 mask, Vector x) {
    return _mm512_mask_max_ps(max, mask, max, x);
  }
  static Vector keep_where(__mmask16 mask, Vector x) { return _mm512_maskz_mov_ps(mask, x); }
  static float reduce_max(Vector x) { return _mm512_reduce_max_ps(x); }
  static float reduce_add(Vector x) { return _mm512_reduce_add_ps(x); }

  static Vector load_scales(const char* scales) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Words load_words(const char* words) { return _mm512_loadu_si512(words); }
};

struct Bf16 : Avx512 {
  static constexpr unsigned kPack = 2;
  static constexpr bool kLooksUp = true;
  using Int8Source = Int8Words;
  using Fp8Source = Fp8Words;
  using Points16Source = Points16Words;
  using Word = uint32_t;

  static Factor broadcast(const Word* word) { return _mm512_set1_epi32(static_cast<int>(*word)); }
  static Vector multiply_add(Vector sum, Factor factor, Words words) {
    return _mm512_dpbf16_ps(
        sum, reinterpret_cast<__m512bh>(factor), reinterpret_cast<__m512bh>(words));
  }
  static void pack(Vector x, Word* words) {
    const auto packed = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), packed);
  }
  static Vector pack_weights(Vector low, Vector high, Word* words, Vector sum) {
    const auto packed = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
    _mm512_storeu_si512(words, packed);
    return multiply_add(sum, _mm512_set1_epi32(0x3f803f80), packed);  // bf16 ones
  }
};

struct F32 : Avx512 {
  static constexpr unsigned kPack = 1;
  static constexpr bool kLooksUp = false;
  using Word = float;

  static Factor broadcast(const Word* word) { return _mm512_castps_si512(_mm512_set1_ps(*word)); }
  static Vector multiply_add(Vector sum, Factor factor, Words words) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(factor), _mm512_castsi512_ps(words), sum);
  }
  static void pack(Vector x, Word* words) { _mm512_storeu_ps(words, x); }
  static Vector pack_weights(Vector low, Vector high, Word* words, Vector sum) {
    _mm512_storeu_ps(words, low);
    _mm512_storeu_ps(words + kLanes, high);
    return _mm512_add_ps(_mm512_add_ps(sum, low), high);
  }
};

#include "kernels/cpu/attention_tile.inc.h"
#include "kernels/cpu/hadamard.inc.h"

}  // namespace

const AttentionTable kAttentionAvx512 = {
    attend<F32>,
    attend<Bf16>,
    hadamard,
};

}  // namespace dms::kernels
