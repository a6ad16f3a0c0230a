// Every block type against the definition of its layout, element by element in the file's order.
// That the numbers are ggml's is tests/python/test_gguf.py's to show.

#include "gguf/blocks.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::gguf {
namespace {

/// Blocks of random bits whose halves are finite.
std::vector<std::byte> random_blocks(TensorType type, size_t count, std::mt19937_64& rng) {
  const auto bytes = static_cast<size_t>(layout_of(type).bytes);
  std::vector<std::byte> blocks(count * bytes);
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(rng());
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = i * bytes;
    if (type == TensorType::q6_k) {
      blocks[begin + 209] &= std::byte{0xbf};
    } else {
      blocks[begin + 1] &= std::byte{0xbf};
      if (bytes > 4) blocks[begin + 3] &= std::byte{0xbf};
    }
  }
  return blocks;
}

TEST(GgufBlocks, PartsOfGroupsMakeTheirElements) {
  std::mt19937_64 rng(testing_support::seed());
  for (const TensorType type :
       {TensorType::q8_0, TensorType::q4_0, TensorType::q4_1, TensorType::q4_k, TensorType::q5_k}) {
    constexpr size_t kBlocks = 37;
    constexpr auto kColumns = static_cast<size_t>(kGroupColumns);
    const std::vector<std::byte> blocks = random_blocks(type, kBlocks, rng);
    std::vector<float> values(kBlocks * static_cast<size_t>(layout_of(type).elements));
    dequantise(type, blocks, values);
    std::vector<uint8_t> codes(values.size());
    std::vector<float> scales(values.size() / kColumns);
    std::vector<float> minima(scales.size());
    unpack(type, blocks, {.codes = codes, .scales = scales, .minima = minima});
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t group = i / kColumns;
      ASSERT_EQ(values[i], scales[group] * static_cast<float>(codes[i]) + minima[group]) << i;
      if (has_minima(type)) continue;
      ASSERT_EQ(minima[group], -std::exp2(static_cast<float>(code_bits(type) - 1)) * scales[group]);
    }
    const int codes_of_type = type == TensorType::q5_k ? 32 : 1 << code_bits(type);
    EXPECT_GT(std::ranges::max(codes), codes_of_type * 3 / 4);
    EXPECT_LT(std::ranges::max(codes), codes_of_type);
  }
}

TEST(GgufBlocks, HoldTheirElementsInTheFormatsOrder) {
  std::vector<std::byte> q4(20);
  q4[1] = std::byte{0x3c};  // scale 1
  q4[3] = std::byte{0x40};  // minimum 2
  for (size_t i = 0; i < 16; ++i) q4[4 + i] = static_cast<std::byte>(i | (15 - i) << 4);
  std::vector<float> values(32);
  dequantise(TensorType::q4_1, q4, values);
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(values[i], static_cast<float>(i) + 2);
    EXPECT_EQ(values[i + 16], static_cast<float>(15 - i) + 2);
  }
  std::vector<std::byte> q6(210);
  q6[209] = std::byte{0x3c};                                      // scale 1
  for (size_t i = 0; i < 16; ++i) q6[192 + i] = std::byte{1};     // of each 16
  for (size_t i = 0; i < 64; ++i) q6[128 + i] = std::byte{0xe4};  // 0, 1, 2, 3 from low to high
  values.resize(256);
  dequantise(TensorType::q6_k, q6, values);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i], static_cast<float>(i / 32 % 4 * 16) - 32) << i;
  }
}

TEST(GgufBlocks, OfBrokenScalesGiveNumbersThatAreNone) {
  std::vector<std::byte> q8(34, std::byte{1});
  q8[1] = std::byte{0x7e};
  std::vector<float> values(32);
  dequantise(TensorType::q8_0, q8, values);
  for (const float value : values) EXPECT_TRUE(std::isnan(value));
}

TEST(GgufBlocks, ListsWhatIsRead) {
  EXPECT_EQ(readable_types(), "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K or Q6_K");
  EXPECT_FALSE(is_readable(*find_layout(10)));
  EXPECT_EQ(find_layout(4), nullptr);
}

}  // namespace
}  // namespace dms::gguf
