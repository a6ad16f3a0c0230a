#pragma once
// Methods of strings, dicts, lists and loops that templates call, and the global functions.

#include <string_view>

#include "text/jinja_runtime.h"

namespace dms::text::jinja {

enum class MethodKind {
  kNone,       // Python has no such method
  kKnown,      // it has; calling one this subset lacks is an error that names it
  kForbidden,  // it would change its object, which transformers' sandbox refuses
};

MethodKind find_method(const Value& object, std::string_view name);
Value call_method(Runtime& runtime,
                  const Value& object,
                  std::string_view name,
                  const Arguments& arguments);

/// A global function of that name, or an undefined value.
Value global_function(std::string_view name);
Value call_function(Runtime& runtime, std::string_view name, const Arguments& arguments);

}  // namespace dms::text::jinja
