#pragma once
// What lies at a path that a stranger gave. Where the system cannot say (no permission, a name that
// is too long, links in a circle) the path is bad input, not something that is missing.

#include <filesystem>
#include <vector>

namespace dms {

/// Each follows links; nothing at `path` is false. Throws InputError naming `path` and the reason
/// when that cannot be found out. Thread-safe.
bool path_exists(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
bool is_file(const std::filesystem::path& path);  // a regular one

/// What lies in a folder, by name; nothing where there is no folder. Throws as the others.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

}  // namespace dms
