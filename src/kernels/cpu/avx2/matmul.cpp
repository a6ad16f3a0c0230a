// Products with 256-bit vectors and FMA; bf16 weights are widened in registers.

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 12 sums, 2 vectors of weights and a factor fill 16 registers

#include "kernels/cpu/finish.inc.h"
#include "kernels/cpu/matmul_tile.inc.h"
#include "kernels/cpu/round_bf16.inc.h"

struct Fused {
  using Sum = __m256;
  using Part = __m256;
  using Factor = __m256;
  using Word = float;

  /// Few rows take a whole panel at once, so that memory is read in order.
  static constexpr int vectors(int rows) { return rows <= 3 ? 4 : 2; }
  static Factor broadcast(const Word* word) { return _mm256_broadcast_ss(word); }
  static Sum multiply_add(Sum sum, Factor factor, Part part) {
    return _mm256_fmadd_ps(factor, part, sum);
  }
  static Sum load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* target, Sum sum) { _mm256_storeu_ps(target, sum); }
};

struct F32 : Fused {
  static constexpr int kParts = 1;
  static Part part(const char* words, int) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(words));
  }
};

/// A float's upper half is its bf16.
struct Bf16Widened : Fused {
  static constexpr int kParts = 2;
  static Part part(const char* words, int p) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
    const __m256i upper = _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000)));
    return _mm256_castsi256_ps(p == 0 ? _mm256_slli_epi32(pairs, 16) : upper);
  }
};

void pack_f32(const PackTileCall& call) {
  pack_tile<float, 1, 1>(call, [](float x, float, float* words) { words[0] = x; });
}

void pack_pairs(const PackTileCall& call) {
  pack_tile<float, 2, 2>(call, [](float low, float high, float* words) {
    words[0] = low;
    words[1] = high;
  });
}

float rounded(float x) {
  const uint32_t bits = bf16_bits(x) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

void pack_rounded_pairs(const PackTileCall& call) {
  pack_tile<float, 2, 2>(call, [](float low, float high, float* words) {
    words[0] = rounded(low);
    words[1] = rounded(high);
  });
}

}  // namespace

extern const MatmulTable kMatmulAvx2{
    .f32 = {kTileRows, 4, pack_f32, multiply_tile<F32>},
    .bf16_f32 = {kTileRows, 8, pack_pairs, multiply_tile<Bf16Widened>},
    .bf16_bf16 = {kTileRows, 8, pack_rounded_pairs, multiply_tile<Bf16Widened>},
    .finish_store = finish_store,
    .finish_accumulate = finish_accumulate,
    .finish_gated = finish_gated};

}  // namespace dms::kernels
