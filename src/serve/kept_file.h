#pragma once
// Files that clients name: only inside of one folder, which the command line names, and only by
// names that cannot lead out of it.

#include <filesystem>
#include <string>

namespace dms::serve {

/// Throws ApiError (400) unless it is made of at most 128 letters, digits, '.', '_' and '-' and
/// begins with a letter or digit. `param` names it in errors.
void check_kept_name(const std::string& name, const char* param);

/// Where a file of that name, with `suffix` behind it, lies, whether there is one or not. Throws
/// ApiError (400) on a bad name, and where something else than a regular file is in its place: a
/// link, a folder.
std::filesystem::path kept_file(const std::filesystem::path& folder,
                                const std::string& name,
                                const char* param,
                                const char* suffix = "");

}  // namespace dms::serve
