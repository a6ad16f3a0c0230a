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

}  // namespace dms::serve
