#pragma once
// Parts that structural tags of xgrammar's are made of.

#include <span>
#include <string_view>
#include <vector>

#include "serve/api_error.h"

namespace dms::serve::format_parts {

OutJson constant(std::string_view text);
OutJson sequence(std::vector<OutJson> parts);
OutJson one_of(std::vector<OutJson> parts);
OutJson optional(OutJson part);
OutJson repeated(OutJson part, int64_t least, int64_t most);  // most -1: as often as one likes
/// Text without any of these.
OutJson text_without(std::vector<std::string_view> texts);
/// `is_strict`: what the schema asks for and no answer is held to is refused, not left aside.
OutJson json_value(OutJson schema, bool is_strict);

struct Item {
  OutJson format;
  bool is_required = true;
};

/// Items in their order, with the separator between those that are there. Throws ApiError where
/// many may be missing.
OutJson list(std::span<const Item> items, std::string_view separator);

}  // namespace dms::serve::format_parts
