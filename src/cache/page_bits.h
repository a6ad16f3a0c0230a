#pragma once
// A page's tokens as the bits of one word.

#include <cstdint>

#include "kernels/kv_page.h"

namespace dms::cache {

/// Bits [0, count) of a word; count may lie outside 0..32.
constexpr uint32_t low_bits(int64_t count) {
  if (count <= 0) return 0;
  return count >= kernels::kPageTokens ? ~uint32_t{0} : (uint32_t{1} << count) - 1;
}

/// Bits [begin, 32) of a word.
constexpr uint32_t bits_from(int64_t begin) { return ~low_bits(begin); }

}  // namespace dms::cache
