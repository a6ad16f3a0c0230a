#pragma once
// The library speaks of its fields (window_tokens), the command line of its options (--window).

#include <string>
#include <string_view>

#include "dms/error.h"

namespace dms::cli {

/// `text` with the names of fields that no other word can be, those with an underscore, as options.
std::string in_flags(std::string_view text);

/// An error's line in the words of the command line.
std::string in_flags(const Error& error);

}  // namespace dms::cli
