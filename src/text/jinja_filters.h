#pragma once
// Filters ("value | name") and tests ("value is name"). One table each; a name that is not in it is
// an error that says so.

#include <string_view>

#include "text/jinja_runtime.h"

namespace dms::text::jinja {

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

/// The filters that work on sequences (jinja_sequence_filters.cpp), or null.
Filter find_sequence_filter(std::string_view name);

}  // namespace dms::text::jinja
