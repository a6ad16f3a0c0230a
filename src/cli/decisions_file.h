#pragma once
// Eviction decisions as a NumPy file, the form that --decisions reads.

#include <cstdint>
#include <filesystem>
#include <span>

namespace dms::cli {

/// Writes uint8 [layers, kv_heads, tokens]. Throws InputError when the file cannot be created,
/// RunError when the disk is full.
void write_decisions(const std::filesystem::path& path,
                     int64_t layers,
                     int64_t kv_heads,
                     std::span<const uint8_t> decisions);

}  // namespace dms::cli
