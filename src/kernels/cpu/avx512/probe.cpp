// The machine's bounds with 512-bit vectors.

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int kChains = 16;  // enough to hide the latency of two products a cycle
constexpr int kStreams = 4;  // pages read side by side, as the hardware prefetchers like it

float read(const void* data, int64_t bytes) {
  const char* base = static_cast<const char*>(data);
  const int64_t stream_bytes = bytes / kStreams;
  __m512i sums[kStreams] = {};
  for (int64_t at = 0; at < stream_bytes; at += 64) {
#pragma GCC unroll 4
    for (int stream = 0; stream < kStreams; ++stream) {
      const char* from = base + stream * stream_bytes + at;
      sums[stream] = _mm512_xor_si512(sums[stream], _mm512_loadu_si512(from));
    }
  }
  __m512i sum = sums[0];
  for (int stream = 1; stream < kStreams; ++stream) sum = _mm512_xor_si512(sum, sums[stream]);
  return static_cast<float>(_mm512_reduce_add_epi32(sum));
}

/// Different values: equal chains would be computed once.
void start(__m512 (&chains)[kChains]) {
#pragma GCC unroll 16
  for (int chain = 0; chain < kChains; ++chain) {
    chains[chain] = _mm512_set1_ps(static_cast<float>(chain));
  }
}

float add_up(const __m512 (&chains)[kChains]) {
  __m512 sum = chains[0];
  for (int chain = 1; chain < kChains; ++chain) sum = _mm512_add_ps(sum, chains[chain]);
  return _mm512_reduce_add_ps(sum);
}

float run_f32(int64_t rounds) {
  __m512 chains[kChains];
  start(chains);
  const __m512 factor = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int chain = 0; chain < kChains; ++chain) {
      chains[chain] = _mm512_fmadd_ps(factor, factor, chains[chain]);
    }
  }
  return add_up(chains);
}

float run_bf16(int64_t rounds) {
  __m512 chains[kChains];
  start(chains);
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int chain = 0; chain < kChains; ++chain) {
      chains[chain] = _mm512_dpbf16_ps(chains[chain], ones, ones);
    }
  }
  return add_up(chains);
}

float run_int8(int64_t rounds) {
  __m512i chains[kChains];
#pragma GCC unroll 16
  for (int chain = 0; chain < kChains; ++chain) chains[chain] = _mm512_set1_epi32(chain);
  const __m512i ones = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int chain = 0; chain < kChains; ++chain) {
      chains[chain] = _mm512_dpbusd_epi32(chains[chain], ones, ones);
    }
  }
  __m512i sum = chains[0];
  for (int chain = 1; chain < kChains; ++chain) sum = _mm512_add_epi32(sum, chains[chain]);
  return static_cast<float>(_mm512_reduce_add_epi32(sum));
}

}  // namespace

extern const ProbeTable kProbeAvx512{.read = read,
                                     .run_f32 = run_f32,
                                     .run_bf16 = run_bf16,
                                     .f32_flop_per_round = kChains * 16 * 2,
                                     .bf16_flop_per_round = kChains * 16 * 4,
                                     .run_int8 = run_int8,
                                     .int8_op_per_round = kChains * 16 * 8};

}  // namespace dms::kernels
