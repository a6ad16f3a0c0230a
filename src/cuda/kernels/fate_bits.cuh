#pragma once
// Fates as the device's tables have them: a bit a token, set where it is evicted.

#include <cstdint>

namespace dms::cuda {

/// Of word `word` of a head's fates, the tokens of [begin, end) that stay.
__device__ __forceinline__ uint32_t kept_word(const uint32_t* fates,
                                              int32_t word,
                                              int32_t begin,
                                              int32_t end) {
  const int32_t low = max(begin - 32 * word, 0);
  const int32_t high = min(end - 32 * word, 32);
  if (low >= high) return 0;
  const uint32_t range = (~0u >> (32 - (high - low))) << low;
  return ~fates[word] & range;
}

}  // namespace dms::cuda
