#pragma once
// Parses a chat template. Throws InputError "WHERE: line N: what" for malformed templates, for
// statements this subset does not have (by name) and for nesting deeper than any real template's.

#include <string>
#include <string_view>

#include "text/jinja_ast.h"

namespace dms::text::jinja {

Body parse_template(std::string_view source, const std::string& where);

}  // namespace dms::text::jinja
