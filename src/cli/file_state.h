#pragma once
// What files hold, as short texts that differ where they do.

#include <filesystem>
#include <string>

namespace dms::cli {

/// Of a file's bytes; empty without a file.
std::string checksum(const std::filesystem::path& file);
/// Of a model's or an adapter's files: the same wherever they lie and whenever they were written.
/// Of a file over 1 GiB its length, its beginning and pieces from all over it are read, of others
/// every byte. Empty where there is none.
std::string content_of(const std::filesystem::path& model);

}  // namespace dms::cli
