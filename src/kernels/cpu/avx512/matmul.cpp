// Products with 512-bit vectors; bf16 pairs by vdpbf16ps.

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kTileRows = 12;  // 24 sums, 2 vectors of weights and a few factors fill 32 registers

#include "kernels/cpu/finish.inc.h"
#include "kernels/cpu/matmul_tile.inc.h"
#include "kernels/cpu/round_bf16.inc.h"

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
  static void store(float* target, Sum sum) { _mm512_storeu_ps(target, sum); }
};

void pack_f32(const PackTileCall& call) {
  pack_tile<float, 1, 1>(call, [](float x, float, float* words) { words[0] = x; });
}

void pack_wide_pairs(const PackTileCall& call) {
  pack_tile<float, 2, 2>(call, [](float low, float high, float* words) {
    words[0] = low;
    words[1] = high;
  });
}

void pack_bf16_pairs(const PackTileCall& call) {
  pack_tile<uint32_t, 2, 1>(call, [](float low, float high, uint32_t* words) {
    words[0] = bf16_bits(low) | bf16_bits(high) << 16;
  });
}

}  // namespace

extern const MatmulTable kMatmulAvx512{
    .f32 = {kTileRows, 4, pack_f32, multiply_tile<F32>},
    .bf16_f32 = {kTileRows, 8, pack_wide_pairs, multiply_tile<Bf16Widened>},
    .bf16_bf16 = {kTileRows, 4, pack_bf16_pairs, multiply_tile<Bf16Pairs>},
    .finish_store = finish_store,
    .finish_accumulate = finish_accumulate,
    .finish_gated = finish_gated};

}  // namespace dms::kernels
