#pragma once
// Words of a form that are special tokens of the model's: a demanded call is to have the tokens,
// and not their letters spelled in others.

#include <cstdint>
#include <string_view>
#include <vector>

#include "serve/api_error.h"

namespace dms::serve {

struct TokenTag {
  std::string_view spelling;
  int32_t id = 0;
};

/// `format`, a part of a structural tag, with tokens where its texts have their spellings.
OutJson with_tokens(OutJson format, const std::vector<TokenTag>& tags);

/// The same of "triggered_tags": their triggers stay texts, which a token with a trigger's spelling
/// ends with, so that calls are seen to begin with the token and with its letters.
OutJson with_tokens_behind_triggers(OutJson format, const std::vector<TokenTag>& tags);

/// A list of them that says which special tokens may stand where a form has any text.
OutJson named_tokens(const std::vector<TokenTag>& tags);

}  // namespace dms::serve
