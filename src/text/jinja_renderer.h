#pragma once
// Walks a template's tree and writes its text. One renderer per rendering.

#include <string>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace dms::text::jinja {

/// Renders `body` with the variables `context`. Throws InputError naming the template and the line.
std::string render_body(const Body& body, const Dict& context, Runtime& runtime);

}  // namespace dms::text::jinja
