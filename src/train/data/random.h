#pragma once
// The generator behind every shuffle and every generated document: SplitMix64 with our own bounded
// draws, because the standard library's distributions differ between platforms.

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace dms::train::data {

/// SplitMix64's output function: every bit of `x` moves every bit of the result.
inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The same on every platform and in every version (FNV-1a, then mixed).
inline uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix64(hash);
}

class Random {
 public:
  /// A stream of its own for each purpose and index, so that document 7 is the same whichever
  /// thread makes it.
  Random(uint64_t seed, std::string_view purpose, int64_t index = 0)
      : state_(mix64(mix64(seed ^ stable_hash(purpose)) + static_cast<uint64_t>(index))) {}

  uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15u); }

  /// Uniform in [0, bound), bound > 0, without modulo bias.
  int64_t below(int64_t bound) {
    const auto n = static_cast<uint64_t>(bound);
    const uint64_t unfair = (0 - n) % n;  // 2^64 mod n values at the bottom would come up once more
    uint64_t draw = next();
    while (draw < unfair) draw = next();
    return static_cast<int64_t>(draw % n);
  }

  /// Uniform in [first, last].
  int64_t between(int64_t first, int64_t last) { return first + below(last - first + 1); }

  /// True with this probability.
  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }

  /// Log-uniform in [first, last], first > 0. By halving in square roots, which IEEE rounds exactly
  /// everywhere; exp and log it does not.
  int64_t log_between(int64_t first, int64_t last) {
    auto low = static_cast<double>(first);
    double high = static_cast<double>(last) + 1.0;
    for (uint64_t bits = next() >> 32, i = 0; i < 32; ++i, bits >>= 1) {
      const double middle = std::sqrt(low * high);
      ((bits & 1u) != 0 ? low : high) = middle;
    }
    const auto drawn = static_cast<int64_t>(low);
    return drawn < first ? first : drawn > last ? last : drawn;
  }

 private:
  uint64_t state_;
};

/// Fisher-Yates.
template <class T>
void shuffle(std::span<T> items, Random& random) {
  for (auto left = static_cast<int64_t>(items.size()); left > 1; --left) {
    const auto chosen = static_cast<size_t>(random.below(left));
    std::swap(items[static_cast<size_t>(left - 1)], items[chosen]);
  }
}

}  // namespace dms::train::data
