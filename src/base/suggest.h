#pragma once
// What somebody who misspelt a name may have meant.

#include <span>
#include <string>
#include <string_view>

namespace dms {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
int64_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `name`, in any case of letters; empty when none is near (a third of its
/// length, at least 2).
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

/// "did you mean NAME?" of the nearest one; empty when none is near.
std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

}  // namespace dms
