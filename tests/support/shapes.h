#pragma once
// Shapes at which vector code breaks: around every power of two that a loop may be cut at.

#include <cstdint>
#include <random>
#include <vector>

namespace dms::testing_support {

/// 1 .. 70 and each boundary up to 1024, one less and one more.
inline std::vector<int64_t> lengths() {
  std::vector<int64_t> all;
  for (int64_t n = 1; n <= 70; ++n) all.push_back(n);
  for (const int64_t n : {96, 128, 160, 256, 320, 512, 1024}) {
    for (const int64_t near : {n - 1, n, n + 1}) all.push_back(near);
  }
  return all;
}

/// Channels of a head, odd ones included.
inline std::vector<int64_t> head_sizes() { return {2, 7, 16, 33, 64, 80, 96, 128, 256}; }

/// Query heads per KV head.
inline std::vector<int64_t> groups() { return {1, 2, 3, 4, 7, 8}; }

/// How many random cases a property test tries: fewer where sanitizers make each one slow.
inline int64_t trials(int64_t full) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return (full + 7) / 8;
#else
  return full;
#endif
}

inline std::vector<float> normal_values(int64_t count, std::mt19937_64& random, float size = 1.0f) {
  std::normal_distribution<float> normal(0.0f, size);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace dms::testing_support
