#pragma once
// JSON Schema's keywords as answers are held to them: xgrammar reads the keywords of one kind in a
// schema and passes over those beside them.

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace dms::grammar {

/// Asks something of values; else it is a remark, or no keyword.
bool is_constraint(std::string_view keyword);

/// The type whose values a keyword speaks of ("minLength": "string"); empty: of none.
std::string_view type_of_keyword(std::string_view keyword);

/// Whether a value of JSON is of a type of JSON Schema.
bool is_of_type(const OrderedJson& value, const std::string& type);

/// A number that is none of 64 bits with a sign, of which xgrammar's integers are; where it has a
/// point or an exponent, none that surely is.
bool is_beyond_64_bits(const OrderedJson& value);

/// Those that decide alone what a schema means where they are there, the first one first.
std::span<const std::string_view> deciding_keywords();

/// Held to, at least in some schemas.
bool is_enforced(std::string_view keyword);

/// A format of strings that answers are held to.
bool is_enforced_format(std::string_view format);

/// A format that says how a program handles texts, and asks for nothing.
bool is_remark_format(std::string_view format);

/// The pattern of a format's texts that are not long, for a longest length beside it; empty: none.
std::string_view short_pattern_of_format(std::string_view format);

/// The pattern of a format of which xgrammar allows more (days that no month has, zeros that lead);
/// empty: of any other.
std::string_view pattern_of_format(std::string_view format);

}  // namespace dms::grammar
