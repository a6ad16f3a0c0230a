#pragma once
// What files are, as short texts that differ where the files do.

#include <filesystem>
#include <string>

namespace dms::cli {

/// Of a file's bytes; empty without a file.
std::string checksum(const std::filesystem::path& file);
/// Names, sizes and times of a model's or an adapter's files: what its weights are, without reading
/// them. Empty where there is none.
std::string state_of_files(const std::filesystem::path& model);

}  // namespace dms::cli
