#pragma once
// tokenizer.json's patterns are written for Oniguruma; PCRE2 runs them. \p{…}, \s, \w, \d and their
// negations become explicit ranges from our own tables, because PCRE2's Unicode version is the
// machine's, not the one the vocabulary was made with. What the two engines read differently and
// what we cannot translate is an error that names the construct.

#include <string>
#include <string_view>

namespace dms::text {

/// `pattern` for PCRE2 in UTF mode. Throws InputError; `where` names the pattern's place.
std::string translate_pattern(std::string_view pattern, const std::string& where);

}  // namespace dms::text
