#pragma once
// An export may replace what an export wrote, and nothing else.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dms {

/// The path without links, dots and a trailing slash, so that a folder can be renamed to it.
std::filesystem::path resolve_output(const std::filesystem::path& out);

/// Makes the folder that will hold `target`, and removes what a killed export to `target` left
/// there. Throws InputError where it cannot be written.
void prepare_parent(const std::filesystem::path& target);

/// Passes where `out` does not exist, is an empty folder, or holds `marker` and otherwise only
/// names that `is_ours` accepts. Throws InputError naming what else is there; `kind` says what was
/// expected.
void check_replaceable(const std::filesystem::path& out,
                       std::string_view marker,
                       const std::string& kind,
                       const std::function<bool(std::string_view name)>& is_ours);

}  // namespace dms
