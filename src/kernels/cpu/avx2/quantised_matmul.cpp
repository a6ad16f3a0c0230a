// Products of quantised weights and activations (quantised_tile.h) with 256-bit vectors, without
// VNNI: vpmaddubsw adds two products to 16 bits.

#include <immintrin.h>

#include "kernels/kernel_table.h"
#include "kernels/quantised_tile.h"

namespace dms::kernels {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int kLanes = 8;
constexpr int kQuads = 8;  // of a group's columns
constexpr int64_t kVectorBytes = 32;
constexpr int64_t kQuadBytes = kPanelOutputs * 4;
constexpr int64_t kScaleBytes = kPanelOutputs * 2;
constexpr int64_t kPrefetchBytes = 8192;  // see matmul_tile.inc.h

/// The `index`-th eight of up to 32 values; what is beyond `count` is zero.
inline __m256 values(const float* x, int64_t count, int index) {
  const int64_t left = count - index * kLanes;
  if (left >= kLanes) return _mm256_loadu_ps(x + index * kLanes);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left)), lane);
  return left <= 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(x + index * kLanes, mask);
}

inline int32_t largest_bits(const float* x, int64_t count) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i most = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    const __m256i bits = _mm256_castps_si256(values(x, count, i));
    most = _mm256_max_epi32(most, _mm256_and_si256(bits, magnitude));
  }
  alignas(32) int32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), most);
  int32_t largest = 0;
  for (const int32_t lane : lanes) largest = largest > lane ? largest : lane;
  return largest;
}

inline int32_t round_codes(const float* x, float inverse, int64_t count, int8_t* codes) {
  const __m256 factor = _mm256_set1_ps(inverse);
  int32_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    alignas(32) int32_t rounded[kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(rounded),
                       _mm256_cvtps_epi32(_mm256_mul_ps(values(x, count, i), factor)));
    for (int lane = 0; lane < kLanes; ++lane) {
      codes[i * kLanes + lane] = static_cast<int8_t>(rounded[lane]);
      sum += rounded[lane];
    }
  }
  return sum;
}

#include "kernels/cpu/quantised_tile.inc.h"

inline __m256i quad_of(const QuantisedActivations& x, int quad) {
  int32_t codes;
  __builtin_memcpy(&codes, x.codes + 4 * quad, sizeof codes);
  return _mm256_set1_epi32(codes);
}

inline __m256i load(const char* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

inline __m256i pairs_added(__m256i words) { return _mm256_madd_epi16(words, _mm256_set1_epi16(1)); }

/// Codes less 128 are signed bytes. Their magnitudes, up to 128, times activations with their
/// signs, up to 127: two products stay below 2^15.
struct Int8 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns;
  static __m256i dot(const char* codes, const QuantisedActivations& x) {
    __m256i sum = _mm256_setzero_si256();
    for (int quad = 0; quad < kQuads; ++quad) {
      const __m256i weights =
          _mm256_xor_si256(load(codes + quad * kQuadBytes), _mm256_set1_epi8(-128));
      const __m256i signed_x = _mm256_sign_epi8(quad_of(x, quad), weights);
      const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), signed_x);
      sum = _mm256_add_epi32(sum, pairs_added(products));
    }
    return sum;
  }
};

/// Sixteen products of a nibble and an activation stay below 2^15.
struct Int4 {
  static constexpr int64_t kCodeBytes = kPanelOutputs * kColumns / 2;
  static __m256i dot(const char* codes, const QuantisedActivations& x) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i words = _mm256_setzero_si256();
    for (int quad = 0; quad < kQuads / 2; ++quad) {
      const __m256i pairs = load(codes + quad * kQuadBytes);
      const __m256i low = _mm256_and_si256(pairs, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble);
      words = _mm256_add_epi16(words, _mm256_maddubs_epi16(low, quad_of(x, quad)));
      words = _mm256_add_epi16(words, _mm256_maddubs_epi16(high, quad_of(x, quad + kQuads / 2)));
    }
    return pairs_added(words);
  }
};

inline __m256 halves(const char* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

/// A group of columns times eight outputs of all rows.
template <class Weights, bool kMinima>
inline void multiply_outputs(
    const char* group, const QuantisedActivations* x, int64_t rows, int64_t output, float* sums) {
  constexpr int64_t kCodesAt = kMinima ? 2 * kScaleBytes : kScaleBytes;
  const __m256 scales = halves(group + output * 2);
  for (int64_t row = 0; row < rows; ++row) {
    float* at = sums + row * kPanelOutputs + output;
    const __m256i dot = _mm256_add_epi32(Weights::dot(group + kCodesAt + output * 4, x[row]),
                                         _mm256_set1_epi32(x[row].start));
    const __m256 factors = _mm256_mul_ps(scales, _mm256_set1_ps(x[row].factor));
    __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factors, _mm256_loadu_ps(at));
    if constexpr (kMinima) {
      const __m256 minima = halves(group + kScaleBytes + output * 2);
      sum = _mm256_fmadd_ps(_mm256_set1_ps(x[row].minimum_factor), minima, sum);
    }
    _mm256_storeu_ps(at, sum);
  }
}

template <class Weights, bool kMinima>
void multiply_tile(const MultiplyTileCall& call) {
  constexpr int64_t kGroupBytes = (kMinima ? 2 * kScaleBytes : kScaleBytes) + Weights::kCodeBytes;
  const auto* group = static_cast<const char*>(call.panel);
  const auto* x = static_cast<const QuantisedActivations*>(call.tile);
  begin_sums(call);
  for (int64_t i = 0; i < call.column_groups; ++i) {
    for (int64_t at = 0; at < kGroupBytes; at += 2 * kVectorBytes) {
      __builtin_prefetch(group + kPrefetchBytes + at);
    }
    for (int64_t output = 0; output < kPanelOutputs; output += kLanes) {
      multiply_outputs<Weights, kMinima>(group, x, call.rows, output, call.sums);
    }
    group += kGroupBytes;
    x += call.rows;
  }
  end_sums(call);
}

constexpr auto kTileGroupBytes = static_cast<int64_t>(sizeof(QuantisedActivations));

}  // namespace

/// Int8::dot takes the zero code off by itself: with minima it is put back.
extern const QuantisedMatmulTable kQuantisedAvx2{
    .int8 = {kTileRows, kTileGroupBytes, pack_quantised<0>, multiply_tile<Int8, false>},
    .int8_minima = {kTileRows, kTileGroupBytes, pack_quantised<-128>, multiply_tile<Int8, true>},
    .int4 = {kTileRows, kTileGroupBytes, pack_quantised<8>, multiply_tile<Int4, false>},
    .int4_minima = {kTileRows, kTileGroupBytes, pack_quantised<0>, multiply_tile<Int4, true>}};

}  // namespace dms::kernels
