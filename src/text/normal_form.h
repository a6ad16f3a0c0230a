#pragma once
// Unicode's normalization forms with the tables that `tokenizers` uses (Unicode 9.0: later marks
// count as class 0). Thread-safe.

#include <string>
#include <string_view>

namespace dms::text {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// `text` (well-formed UTF-8) in a form.
std::string to_normal_form(NormalForm form, std::string_view text);

}  // namespace dms::text
