#pragma once
// What expressions can do with values: operators (operators.cpp), methods and global functions
// (methods.cpp, string_methods.cpp, format.cpp), filters and tests (filters.cpp,
// sequence_filters.cpp). A name that none of these knows is an error that says so.

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

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
/// str.format() with "{}", "{0}" and "{name}", without format specifications.
std::string brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments);

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

struct FilterCall {
  Runtime& runtime;
  std::string_view name;
  const Value& value;
  const Arguments& arguments;

  [[noreturn]] void fail(const std::string& what) const;
  void expect(std::initializer_list<std::string_view> names, size_t required = 0) const {
    arguments.expect(runtime, name, names, required);
  }
};

using Filter = Value (*)(const FilterCall&);

Value apply_filter(Runtime& runtime,
                   std::string_view name,
                   const Value& value,
                   const Arguments& arguments);
bool apply_test(Runtime& runtime,
                std::string_view name,
                const Value& value,
                const Arguments& arguments);

/// The filters that work on sequences (sequence_filters.cpp), or null.
Filter find_sequence_filter(std::string_view name);

}  // namespace dms::text::jinja
