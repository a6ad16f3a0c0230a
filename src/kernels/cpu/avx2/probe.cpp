// The machine's bounds with 256-bit vectors.

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kChains = 12;  // enough to hide the latency of two products a cycle
constexpr int kStreams = 4;  // pages read side by side, as the hardware prefetchers like it

float read(const void* data, int64_t bytes) {
  const char* base = static_cast<const char*>(data);
  const int64_t stream_bytes = bytes / kStreams;
  __m256i sums[kStreams] = {};
  for (int64_t at = 0; at < stream_bytes; at += 32) {
#pragma GCC unroll 4
    for (int stream = 0; stream < kStreams; ++stream) {
      const auto* from = reinterpret_cast<const __m256i*>(base + stream * stream_bytes + at);
      sums[stream] = _mm256_xor_si256(sums[stream], _mm256_loadu_si256(from));
    }
  }
  __m256i sum = sums[0];
  for (int stream = 1; stream < kStreams; ++stream) sum = _mm256_xor_si256(sum, sums[stream]);
  return static_cast<float>(_mm256_extract_epi32(sum, 0));
}

/// Different values: equal chains would be computed once.
void start(__m256 (&chains)[kChains]) {
#pragma GCC unroll 16
  for (int chain = 0; chain < kChains; ++chain) {
    chains[chain] = _mm256_set1_ps(static_cast<float>(chain));
  }
}

float run_f32(int64_t rounds) {
  __m256 chains[kChains];
  start(chains);
  const __m256 factor = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
      chains[chain] = _mm256_fmadd_ps(factor, factor, chains[chain]);
    }
  }
  __m256 sum = chains[0];
  for (int chain = 1; chain < kChains; ++chain) sum = _mm256_add_ps(sum, chains[chain]);
  return _mm256_cvtss_f32(sum);
}

/// Without VNNI: two products added to 16 bits, two of those to 32, then to the chain.
float run_int8(int64_t rounds) {
  __m256i chains[kChains];
#pragma GCC unroll 16
  for (int chain = 0; chain < kChains; ++chain) chains[chain] = _mm256_set1_epi32(chain);
  const __m256i words = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
      const __m256i pairs = _mm256_maddubs_epi16(chains[chain], words);
      chains[chain] = _mm256_add_epi32(chains[chain], _mm256_madd_epi16(pairs, words));
    }
  }
  __m256i sum = chains[0];
  for (int chain = 1; chain < kChains; ++chain) sum = _mm256_add_epi32(sum, chains[chain]);
  return static_cast<float>(_mm256_extract_epi32(sum, 0));
}

}  // namespace

extern const ProbeTable kProbeAvx2{.read = read,
                                   .run_f32 = run_f32,
                                   .run_bf16 = nullptr,
                                   .f32_flop_per_round = kChains * 8 * 2,
                                   .bf16_flop_per_round = 0,
                                   .run_int8 = run_int8,
                                   .int8_op_per_round = kChains * 8 * 8};

}  // namespace dms::kernels
