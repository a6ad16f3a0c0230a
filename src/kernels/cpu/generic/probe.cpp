// The machine's bounds as plain C++ reaches them.

#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kChains = 32;

float read(const void* data, int64_t bytes) {
  const auto* words = static_cast<const float*>(data);
  float chains[kChains] = {};
  for (int64_t i = 0; i < bytes / 4; i += kChains) {
    for (int64_t chain = 0; chain < kChains; ++chain) chains[chain] += words[i + chain];
  }
  float sum = 0.0f;
  for (const float chain : chains) sum += chain;
  return sum;
}

float run_f32(int64_t rounds) {
  float chains[kChains] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    const auto x = static_cast<float>(i);
    for (float& chain : chains) chain = chain * 0.5f + x;
  }
  float sum = 0.0f;
  for (const float chain : chains) sum += chain;
  return sum;
}

}  // namespace

const ProbeTable kProbeGeneric{.read = read,
                               .run_f32 = run_f32,
                               .run_bf16 = nullptr,
                               .f32_flop_per_round = 2 * kChains,
                               .bf16_flop_per_round = 0,
                               .run_int8 = nullptr,
                               .int8_op_per_round = 0};

}  // namespace dms::kernels
