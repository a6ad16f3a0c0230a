#pragma once
// JSON in and out of template values. Objects keep their order: templates print tools' schemas.

#include <string>

#include <nlohmann/json.hpp>

#include "text/jinja_runtime.h"

namespace dms::text::jinja {

/// Throws InputError on nesting beyond kMaxValueDepth.
Value from_json(Budget& budget, const nlohmann::ordered_json& json, int depth = 0);
/// About what a value takes, texts and structure.
size_t bytes_of(const nlohmann::ordered_json& json, int depth = 0);

struct JsonStyle {
  bool ascii = false;  // escape everything else
  bool multi_line = false;
  std::string indent;  // of one level, with multi_line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

/// What Python's json.dumps gives. Fails on values that are not JSON.
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace dms::text::jinja
