#pragma once
// Inputs of golden cases: the same words on every machine.

#include <bit>
#include <cstdint>
#include <vector>

namespace dms::testing_support {

class GoldenWords {
 public:
  explicit GoldenWords(uint64_t seed) : state_(seed) {}

  std::vector<uint32_t> any(int count) {
    std::vector<uint32_t> words(static_cast<size_t>(count));
    for (uint32_t& word : words) word = next();
    return words;
  }

  /// float32 in [-scale, scale], some halved up to `halvings` times.
  std::vector<uint32_t> floats(int count, float scale, int halvings) {
    std::vector<uint32_t> words(static_cast<size_t>(count));
    for (uint32_t& word : words) word = std::bit_cast<uint32_t>(number(scale, halvings));
    return words;
  }

  /// Two bf16 a word, likewise; what bf16 has no bits for is cut off.
  std::vector<uint32_t> bf16_pairs(int count, float scale, int halvings) {
    std::vector<uint32_t> words(static_cast<size_t>(count));
    for (uint32_t& word : words) {
      const uint32_t low = std::bit_cast<uint32_t>(number(scale, halvings)) >> 16;
      word = low | (std::bit_cast<uint32_t>(number(scale, halvings)) & 0xffff0000u);
    }
    return words;
  }

 private:
  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  float number(float scale, int halvings) {
    float value = scale * (static_cast<float>(next() >> 8) * 0x1p-23f - 1.0f);
    for (uint32_t left = next() % static_cast<uint32_t>(halvings + 1); left > 0; --left) {
      value *= 0.5f;
    }
    return value;
  }

  uint64_t state_;
};

}  // namespace dms::testing_support
