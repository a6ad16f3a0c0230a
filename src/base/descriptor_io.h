#pragma once
// Whole reads and writes on an open descriptor, whatever interrupts them. Where one fails, errno
// says why.

#include <cstddef>
#include <cstdint>
#include <span>

namespace dms {

/// Fills `out` from byte `offset` on. Bytes read, fewer where the file ends; -1 where it fails.
int64_t read_at(int fd, int64_t offset, std::span<std::byte> out);
/// Appends all of `bytes`. False where it fails.
bool write_all(int fd, std::span<const std::byte> bytes);

}  // namespace dms
