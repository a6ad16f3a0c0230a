#pragma once
// Our tokens for xgrammar.

#include <cstdint>
#include <span>

#include <xgrammar/tokenizer_info.h>

namespace dms::text {
class Tokenizer;
}

namespace dms::grammar {

/// Each token as the bytes it adds to a text, whatever kind of vocabulary it is of; those that add
/// none (special ones, ids that are no token's) never lead to a text of any form. End tokens are
/// among them: GrammarGuide says where they may come. `named` special tokens may come where a form
/// names them: their bytes are in no text of characters.
xgrammar::TokenizerInfo tokenizer_info(const text::Tokenizer& tokenizer,
                                       int64_t vocab,
                                       std::span<const int32_t> named);

}  // namespace dms::grammar
