#pragma once
// CRC-32 as zip, gzip and PNG have it (polynomial 0x04C11DB7, reflected).

#include <cstdint>
#include <span>

namespace dms::train {

/// Of `bytes`; or of what `previous` is the CRC of, followed by `bytes`.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t previous = 0);

}  // namespace dms::train
