#pragma once
// Which characters a regular expression's texts can have, as far as its letters tell.

#include <string_view>

namespace dms::serve {

/// False: no text that matches the whole expression holds `c`, a sign of ASCII that is no letter,
/// digit, blank or '_'. True too where it cannot be told easily.
bool may_hold(std::string_view pattern, char c);

}  // namespace dms::serve
