#include "base/checksum.h"

#include <random>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// The definition: one bit after the other.
uint32_t slow_crc32(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffffu;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

TEST(Crc32, HasThePublishedCheckValues) {
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xcbf43926u);
  EXPECT_EQ(crc32(bytes_of("")), 0u);
  EXPECT_EQ(crc32({}, 0xcbf43926u), 0xcbf43926u) << "followed by nothing";
  EXPECT_EQ(crc32(bytes_of("The quick brown fox jumps over the lazy dog")), 0x414fa339u);
}

TEST(Crc32, EqualsTheDefinitionAtEveryLengthAlignmentAndCut) {
  std::mt19937_64 random(testing_support::seed());
  std::vector<std::byte> data(80);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t count = 0; count + begin <= data.size(); ++count) {
      const auto bytes = std::span<const std::byte>(data).subspan(begin, count);
      const uint32_t expected = slow_crc32(bytes);
      ASSERT_EQ(crc32(bytes), expected) << begin << " " << count;
      const size_t cut = count == 0 ? 0 : random() % (count + 1);
      ASSERT_EQ(crc32(bytes.subspan(cut), crc32(bytes.first(cut))), expected);
    }
  }
}

}  // namespace
}  // namespace dms
