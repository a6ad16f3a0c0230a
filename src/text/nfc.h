#pragma once
// Unicode normalization form C with the tables that `tokenizers` uses (Unicode 9.0: later marks
// count as class 0). Thread-safe.

#include <string>
#include <string_view>

namespace dms::text {

/// `text` (well-formed UTF-8) in form C.
std::string to_nfc(std::string_view text);

}  // namespace dms::text
