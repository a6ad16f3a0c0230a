#pragma once
// Sizes of a policy that are shares of a text: "budget=12.5%" is an eighth of its tokens, whatever
// the length.

#include <string_view>

#include "dms/cache.h"

namespace dms::eval {

/// Whether a policy's argument is a size, by its name, and ends as a share does.
bool is_share(std::string_view name, std::string_view argument);
/// Whether it is a number above 0 and below 100, and the sign.
bool is_valid_share(std::string_view argument);

/// The cache for a text of so many tokens: shares are rounded to tokens, 1 at least.
CacheOptions sized_for(CacheOptions cache, int64_t tokens);

}  // namespace dms::eval
