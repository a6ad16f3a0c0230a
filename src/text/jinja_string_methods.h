#pragma once
// Python's methods of str.

#include <string>
#include <string_view>

#include "text/jinja_runtime.h"

namespace dms::text::jinja {

bool is_string_method(std::string_view name);
Value call_string_method(Runtime& runtime,
                         const std::string& text,
                         std::string_view name,
                         const Arguments& arguments);

/// str.replace(); a negative count replaces all.
std::string replace_text(Runtime& runtime,
                         std::string_view text,
                         std::string_view from,
                         std::string_view to,
                         int64_t count);

struct StripSides {
  bool left = true;
  bool right = true;
};

/// str.strip() of the characters in `chars`, a str; of white space when that is null.
Value strip_text(Runtime& runtime, std::string_view text, const Value* chars, StripSides sides);

/// str.islower() and str.isupper(): some letter has a case, and all that have one have this one.
bool all_lower(std::string_view text);
bool all_upper(std::string_view text);

}  // namespace dms::text::jinja
