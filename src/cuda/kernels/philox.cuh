#pragma once
// Philox-4x32-10 (Salmon et al. 2011): random bits of a key and a counter, without a state.

#include <cstdint>

namespace dms::cuda {

/// The first 64 of the 128 bits of block (counter, 0) under `key`.
__device__ __forceinline__ uint64_t philox(uint64_t key, uint64_t counter) {
  constexpr uint32_t kMultiplier0 = 0xd2511f53u;
  constexpr uint32_t kMultiplier1 = 0xcd9e8d57u;
  constexpr uint32_t kWeyl0 = 0x9e3779b9u;
  constexpr uint32_t kWeyl1 = 0xbb67ae85u;
  constexpr int kRounds = 10;
  auto key0 = static_cast<uint32_t>(key);
  auto key1 = static_cast<uint32_t>(key >> 32);
  uint32_t x[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kMultiplier0) * x[0];
    const uint64_t product1 = static_cast<uint64_t>(kMultiplier1) * x[2];
    x[0] = static_cast<uint32_t>(product1 >> 32) ^ x[1] ^ key0;
    x[1] = static_cast<uint32_t>(product1);
    x[2] = static_cast<uint32_t>(product0 >> 32) ^ x[3] ^ key1;
    x[3] = static_cast<uint32_t>(product0);
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return static_cast<uint64_t>(x[1]) << 32 | x[0];
}

}  // namespace dms::cuda
