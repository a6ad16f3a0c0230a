// Products with 512-bit vectors; bf16 pairs by vdpbf16ps.

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kTileRows = 12;  // 24 sums, 2 vectors of weights and a few factors fill 32 registers

#include "kernels/cpu/finish.inc.h"
#include "kernels/cpu/matmul_tile.inc.h"

struct Fused {
  using Sum = __m512;
  using Part = __m512;
  using Factor = __m512;
  using Word = float;

  static constexpr int vectors(int) { return 2; }
  static Factor broadcast(const Word* word) { return _mm512_set1_ps(*word); }
  static Sum multiply_add(Sum sum, Factor factor, Part part) {
    return _mm512_fmadd_ps(factor, part, sum);
  }
  static Sum load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* target, Sum sum) { _mm512_storeu_ps(target, sum); }
};

struct F32 : Fused {
  static constexpr int kParts = 1;
  static Part part(const char* words, int) { return _mm512_loadu_ps(words); }
};

/// bf16 weights widened in registers: a float's upper half is its bf16.
struct Bf16Widened : Fused {
  static constexpr int kParts = 2;
  static Part part(const char* words, int p) {
    const __m512i pairs = _mm512_loadu_si512(words);
    const __m512i upper = _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000)));
    return _mm512_castsi512_ps(p == 0 ? _mm512_slli_epi32(pairs, 16) : upper);
  }
};

struct Bf16Pairs {
  using Sum = __m512;
  using Part = __m512bh;
  using Factor = __m512bh;
  using Word = uint32_t;
  static constexpr int kParts = 1;

  static constexpr int vectors(int) { return 2; }
  static Part part(const char* words, int) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(words));
  }
  static Factor broadcast(const Word* word) {
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*word)));
  }
  static Sum multiply_add(Sum sum, Factor factor, Part part) {
    return _mm512_dpbf16_ps(sum, factor, part);
  }
  static Sum load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* target, Sum sum) { _mm512_storeu_ps(target, sum); }
};

/// Columns become rows: after four rounds of interleaving vector i with vector i + 8, word j of
/// vector i is word i of vector j.
inline void transpose(__m512i (&vectors)[kLanes]) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    __m512i mixed[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      mixed[2 * i] = _mm512_permutex2var_epi32(vectors[i], low, vectors[i + kLanes / 2]);
      mixed[2 * i + 1] = _mm512_permutex2var_epi32(vectors[i], high, vectors[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) vectors[i] = mixed[i];
  }
}

__mmask16 first_lanes(int64_t count) {
  return count >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1u << count) - 1u);
}

struct F32Words {
  static constexpr int64_t kColumns = 16;  // columns that fill a vector of words
  static __m512i load(const float* x, int64_t columns) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(first_lanes(columns), x));
  }
};

struct Bf16PairWords {
  static constexpr int64_t kColumns = 32;
  static __m512i load(const float* x, int64_t columns) {
    const __m512 low = _mm512_maskz_loadu_ps(first_lanes(columns), x);
    const int64_t left = columns > kLanes ? columns - kLanes : 0;
    const __m512 high = _mm512_maskz_loadu_ps(first_lanes(left), x + (left > 0 ? kLanes : 0));
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  }
};

/// Rows of activations to [column groups][rows], a vector of words of every row at a time.
template <class Words>
void pack_words(const PackTileCall& call) {
  auto* tile = static_cast<uint32_t*>(call.tile);
  constexpr int64_t kPrefetchFloats = 256;  // hardware does not follow a dozen rows at once
  const __mmask16 rows = first_lanes(call.rows);
  constexpr int64_t kPack = Words::kColumns / kLanes;
  const int64_t groups = (call.columns + kPack - 1) / kPack;
  for (int64_t group = 0; group < groups; group += kLanes) {
    __m512i words[kLanes] = {};
    for (int64_t row = 0; row < call.rows; ++row) {
      const int64_t column = group * kPack;
      const float* x = call.x + row * call.columns + column;
      __builtin_prefetch(x + kPrefetchFloats, 0, 2);
      if constexpr (kPack > 1) __builtin_prefetch(x + kPrefetchFloats + kLanes, 0, 2);
      words[row] = Words::load(x, call.columns - column);
    }
    transpose(words);
    for (int64_t i = 0; i < kLanes && group + i < groups; ++i) {
      _mm512_mask_storeu_epi32(tile + (group + i) * call.rows, rows, words[i]);
    }
  }
}

void pack_wide_pairs(const PackTileCall& call) {
  pack_tile<float, 2, 2>(call, [](float low, float high, float* words) {
    words[0] = low;
    words[1] = high;
  });
}

}  // namespace

extern const MatmulTable kMatmulAvx512{
    .f32 = {kTileRows, 4, pack_words<F32Words>, multiply_tile<F32>},
    .bf16_f32 = {kTileRows, 8, pack_wide_pairs, multiply_tile<Bf16Widened>},
    .bf16_bf16 = {kTileRows, 4, pack_words<Bf16PairWords>, multiply_tile<Bf16Pairs>},
    .finish_store = finish_store,
    .finish_accumulate = finish_accumulate,
    .finish_gated = finish_gated};

}  // namespace dms::kernels
