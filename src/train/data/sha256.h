#pragma once
// SHA-256: names a stage of the cache by what it depends on.

#include <string>
#include <string_view>

namespace dms::train::data {

/// 64 hexadecimal digits.
std::string sha256(std::string_view bytes);

}  // namespace dms::train::data
