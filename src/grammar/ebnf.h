#pragma once
// Texts of xgrammar's EBNF.

#include <span>
#include <string>
#include <string_view>

namespace dms::grammar {

/// A grammar whose only texts are these.
std::string ebnf_of_choices(std::span<const std::string> choices);

/// llama.cpp's GBNF as EBNF: a point by itself is any character, where EBNF has points in names; an
/// alternative may be empty, a name may begin with a digit, \x has two digits. What is EBNF already
/// stays as it is, but for a longer \x.
std::string ebnf_of_gbnf(std::string_view gbnf);

}  // namespace dms::grammar
