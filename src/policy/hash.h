#pragma once
// Numbers that look random and are the same everywhere.

#include <cstdint>

namespace dms::policy {

/// SplitMix64's finaliser (Steele et al. 2014).
inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The upper 53 bits as a number of [0, 1).
inline double uniform(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1.0p-53; }

}  // namespace dms::policy
