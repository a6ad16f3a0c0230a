#pragma once
// Operators, attributes, items and slices, with Python's and jinja2's meaning.

#include <string>
#include <string_view>

#include "text/jinja_runtime.h"

namespace dms::text::jinja {

/// `name`: + - * / // % **
Value binary(Runtime& runtime, std::string_view name, const Value& a, const Value& b);
/// `name`: + -
Value unary(Runtime& runtime, std::string_view name, const Value& value);
/// `name`: == != < <= > >= in, not in
bool compare_by(Runtime& runtime, std::string_view name, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);

/// object.name: methods and attributes first, then items. Undefined when there is none.
Value attribute(Runtime& runtime, const Value& object, std::string_view name);
/// object[key]: items first, then attributes.
Value item(Runtime& runtime, const Value& object, const Value& key);
/// Bounds may be None. Throws where the object cannot be sliced.
Value slice(Runtime& runtime,
            const Value& object,
            const Value& start,
            const Value& stop,
            const Value& step);
/// Python's "format % values" for %s %r %d %i %f %x %e %g %%.
std::string percent_format(Runtime& runtime, const std::string& format, const Value& values);

}  // namespace dms::text::jinja
