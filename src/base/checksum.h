#pragma once
// CRC-32 as zip, gzip and PNG have it (zlib's).

#include <cstdint>
#include <span>

namespace dms {

/// Of `bytes`; or of what `previous` is the CRC of, followed by `bytes`.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t previous = 0);

}  // namespace dms
