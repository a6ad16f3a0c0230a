// Products of quantised weights and activations (quantised_tile.h) with 512-bit vectors: a group's
// weights stay in 16 registers while all rows of the tile pass by.

#include <immintrin.h>

#include "kernels/kernel_table.h"
#include "kernels/quantised_tile.h"

namespace dms::kernels {
namespace {

constexpr int64_t kTileRows = 128;
constexpr int64_t kRowsForLists = 32;  // that pay for making the lists of scales
constexpr int kLanes = 16;
constexpr int kQuads = 8;   // of a group's columns
constexpr int kHalves = 2;  // vectors of outputs
constexpr int64_t kVectorBytes = 64;
constexpr int64_t kScaleBytes = kPanelOutputs * 2;
/// Bytes of weights asked for ahead of their use. Into the second-level cache: a group's lines come
/// all at once, more than the first level can wait for.
constexpr int64_t kPrefetchBytes = 8192;

inline __mmask16 first_lanes(int64_t count) {
  if (count >= kLanes) return __mmask16{0xffff};
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1u);
}

inline __m512 values(const float* x, int64_t count, int half) {
  return _mm512_maskz_loadu_ps(first_lanes(count - half * kLanes), x + half * kLanes);
}

inline int32_t largest_bits(const float* x, int64_t count) {
  const __m512i low = _mm512_castps_si512(_mm512_abs_ps(values(x, count, 0)));
  const __m512i high = _mm512_castps_si512(_mm512_abs_ps(values(x, count, 1)));
  return _mm512_reduce_max_epi32(_mm512_max_epi32(low, high));
}

inline int32_t round_codes(const float* x, float inverse, int64_t count, int8_t* codes) {
  const __m512 factor = _mm512_set1_ps(inverse);
  __m512i sum = _mm512_setzero_si512();
  for (int half = 0; half < 2; ++half) {
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(values(x, count, half), factor));
    sum = _mm512_add_epi32(sum, rounded);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + half * kLanes),
                     _mm512_cvtepi32_epi8(rounded));
  }
  return _mm512_reduce_add_epi32(sum);
}

#include "kernels/cpu/quantised_tile.inc.h"

/// A group's codes as bytes: quad by quad, 16 outputs and 16 outputs.
struct Int8 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns;
  static void load(const char* codes, __m512i (&weights)[kQuads][kHalves]) {
#pragma GCC unroll 8
    for (int quad = 0; quad < kQuads; ++quad) {
      weights[quad][0] = _mm512_loadu_si512(codes + 2 * quad * kVectorBytes);
      weights[quad][1] = _mm512_loadu_si512(codes + (2 * quad + 1) * kVectorBytes);
    }
  }
};

struct Int4 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns / 2;
  static void load(const char* codes, __m512i (&weights)[kQuads][kHalves]) {
    const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int quad = 0; quad < kQuads / 2; ++quad) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        const __m512i pairs = _mm512_loadu_si512(codes + (2 * quad + half) * kVectorBytes);
        weights[quad][half] = _mm512_and_si512(pairs, nibble);
        weights[quad + kQuads / 2][half] = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), nibble);
      }
    }
  }
};

inline __m512 halves(const char* from, int half) {
  const auto* lanes = reinterpret_cast<const __m256i*>(from + half * kScaleBytes / kHalves);
  return _mm512_cvtph_ps(_mm256_loadu_si256(lanes));
}

inline __m512i quad_of(const QuantisedActivations& x, int quad) {
  int32_t codes;
  __builtin_memcpy(&codes, x.codes + 4 * quad, sizeof codes);
  return _mm512_set1_epi32(codes);
}

/// Scales times a row's factor: by multiplication.
struct MultipliedScales {
  explicit MultipliedScales(const char* group) : scales{halves(group, 0), halves(group, 1)} {}
  __m512 at(int half, const QuantisedActivations& x) const {
    return _mm512_mul_ps(scales[half], _mm512_set1_ps(x.factor));
  }
  __m512 scales[kHalves];
};

/// The same from a list of each scale times 1, 17/16, … 31/16, by addition of the factor's bits:
/// the list holds bits from which those of 1, 17/16, … are taken off. No scale is 0 (write_group).
struct ListedScales {
  explicit ListedScales(const char* group) {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      const __m512 scale = halves(group, half);
      const __m512 sixteenth = _mm512_mul_ps(scale, _mm512_set1_ps(0.0625f));
      __m512 multiple = scale;
#pragma GCC unroll 16
      for (int i = 0; i < kMantissas; ++i) {
        const __m512i bits = _mm512_set1_epi32(kOneBits + i * kFactorStep);
        _mm512_store_si512(list[i][half], _mm512_sub_epi32(_mm512_castps_si512(multiple), bits));
        multiple = _mm512_add_ps(multiple, sixteenth);
      }
    }
  }
  __m512 at(int half, const QuantisedActivations& x) const {
    int32_t bits;
    __builtin_memcpy(&bits, &x.factor, sizeof bits);
    const __m512i multiple = _mm512_load_si512(list[bits / kFactorStep % kMantissas][half]);
    return _mm512_castsi512_ps(_mm512_add_epi32(multiple, _mm512_set1_epi32(bits)));
  }
  static constexpr int kMantissas = 16;
  static constexpr int32_t kOneBits = 0x3f800000;
  alignas(64) int32_t list[kMantissas][kHalves][kLanes];
};

template <class Weights, class Scales, bool kMinima>
inline void multiply_group(const char* group,
                           const QuantisedActivations* x,
                           const char* next_x,
                           int64_t rows,
                           float* sums) {
  constexpr int64_t kCodesAt = kMinima ? 2 * kScaleBytes : kScaleBytes;
  __m512i weights[kQuads][kHalves];
  Weights::load(group + kCodesAt, weights);
  const Scales scales(group);
  for (int64_t row = 0; row < rows; ++row) {
    __builtin_prefetch(next_x + row * static_cast<int64_t>(sizeof *x), 0, 2);
    __m512i dots[kHalves] = {_mm512_set1_epi32(x[row].start), _mm512_set1_epi32(x[row].start)};
#pragma GCC unroll 8
    for (int quad = 0; quad < kQuads; ++quad) {
      const __m512i codes = quad_of(x[row], quad);
      dots[0] = _mm512_dpbusd_epi32(dots[0], weights[quad][0], codes);
      dots[1] = _mm512_dpbusd_epi32(dots[1], weights[quad][1], codes);
    }
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      float* at = sums + row * kPanelOutputs + half * kLanes;
      const __m512 dot = _mm512_cvtepi32_ps(dots[half]);
      __m512 sum = _mm512_fmadd_ps(dot, scales.at(half, x[row]), _mm512_loadu_ps(at));
      if constexpr (kMinima) {
        const __m512 minima = halves(group + kScaleBytes, half);
        sum = _mm512_fmadd_ps(_mm512_set1_ps(x[row].minimum_factor), minima, sum);
      }
      _mm512_storeu_ps(at, sum);
    }
  }
}

template <class Weights, class Scales, bool kMinima>
inline void multiply_groups(const MultiplyTileCall& call) {
  constexpr int64_t kGroupBytes = (kMinima ? 2 * kScaleBytes : kScaleBytes) + Weights::kCodeBytes;
  const auto* group = static_cast<const char*>(call.panel);
  const auto* x = static_cast<const QuantisedActivations*>(call.tile);
  const auto* next_x = static_cast<const char*>(call.next_tile);
  for (int64_t i = 0; i < call.column_groups; ++i) {
#pragma GCC unroll 17
    for (int64_t line = 0; line < kGroupBytes; line += kVectorBytes) {
      __builtin_prefetch(group + kPrefetchBytes + line, 0, 2);
    }
    multiply_group<Weights, Scales, kMinima>(group, x, next_x, call.rows, call.sums);
    group += kGroupBytes;
    x += call.rows;
    next_x += call.rows * static_cast<int64_t>(sizeof *x);
  }
}

template <class Weights, bool kMinima>
void multiply_tile(const MultiplyTileCall& call) {
  begin_sums(call);
  if (call.rows < kRowsForLists) {
    multiply_groups<Weights, MultipliedScales, kMinima>(call);
  } else {
    multiply_groups<Weights, ListedScales, kMinima>(call);
  }
  end_sums(call);
}

constexpr auto kTileGroupBytes = static_cast<int64_t>(sizeof(QuantisedActivations));

}  // namespace

extern const QuantisedMatmulTable kQuantisedAvx512{
    .int8 = {kTileRows, kTileGroupBytes, pack_quantised<128>, multiply_tile<Int8, false>},
    .int8_minima = {kTileRows, kTileGroupBytes, pack_quantised<0>, multiply_tile<Int8, true>},
    .int4 = {kTileRows, kTileGroupBytes, pack_quantised<8>, multiply_tile<Int4, false>},
    .int4_minima = {kTileRows, kTileGroupBytes, pack_quantised<0>, multiply_tile<Int4, true>}};

}  // namespace dms::kernels
