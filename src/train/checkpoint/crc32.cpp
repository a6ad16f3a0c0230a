#include "train/checkpoint/crc32.h"

#include <array>
#include <cstring>

namespace dms::train {
namespace {

constexpr size_t kStep = 8;
using Tables = std::array<std::array<uint32_t, 256>, kStep>;

/// Table t advances the CRC of a byte by t further zero bytes: eight look-ups take eight bytes at
/// once, which is what keeps checking as fast as reading.
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
    tables[0][byte] = crc;
  }
  for (size_t t = 1; t < kStep; ++t) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[t - 1][byte];
      tables[t][byte] = (before >> 8) ^ tables[0][before & 0xffu];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint32_t look_up(size_t table, uint32_t word, int shift) {
  return kTables[table][(word >> shift) & 0xffu];
}

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes, uint32_t previous) {
  uint32_t crc = ~previous;
  while (bytes.size() >= kStep) {
    uint32_t low = 0;
    uint32_t high = 0;
    std::memcpy(&low, bytes.data(), sizeof(low));
    std::memcpy(&high, bytes.data() + sizeof(low), sizeof(high));
    low ^= crc;
    crc = look_up(7, low, 0) ^ look_up(6, low, 8) ^ look_up(5, low, 16) ^ look_up(4, low, 24) ^
          look_up(3, high, 0) ^ look_up(2, high, 8) ^ look_up(1, high, 16) ^ look_up(0, high, 24);
    bytes = bytes.subspan(kStep);
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint32_t>(byte)) & 0xffu];
  }
  return ~crc;
}

}  // namespace dms::train
