#pragma once
// Walks a template's tree and writes its text. One renderer per rendering.

#include <string>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace dms::text::jinja {

/// Renders `body` with the variables `context`. Throws InputError naming the line; reading `where`
/// tells the template's name.
std::string render_body(const Body& body,
                        const Dict& context,
                        const std::string& where,
                        const Limits& limits);

}  // namespace dms::text::jinja
