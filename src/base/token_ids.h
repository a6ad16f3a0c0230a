#pragma once
// Token ids from files.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

/// Ids in a JSON text: an array of integers from 0 to 2^31 - 1, or an object that has such an array
/// under "ids", as `dms tokenize --json` prints it. Holds the ids and no tree of the text. Throws
/// InputError naming `where` and the element that is none.
std::vector<int32_t> parse_ids(std::string_view text, const std::string& where);

}  // namespace dms
