#pragma once
// A form that somebody asks for, as xgrammar's grammar.

#include <xgrammar/grammar.h>
#include <xgrammar/tokenizer_info.h>

#include "dms/structure.h"

namespace dms::grammar {

/// Throws InputError naming the form's field, and what is wrong with it.
xgrammar::Grammar grammar_of(const Structure& structure, const xgrammar::TokenizerInfo& tokens);

}  // namespace dms::grammar
