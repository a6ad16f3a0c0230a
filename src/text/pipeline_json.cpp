#include "text/pipeline_json.h"

#include "base/utf8.h"
#include "dms/error.h"

namespace dms::text {

Pattern read_pattern(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  if (fields.has("String")) {
    std::string literal = fields.string("String");
    // An empty literal matches between all characters; the regex engine knows how.
    if (literal.empty()) return Regex("", where);
    return LiteralPattern{std::move(literal)};
  }
  const std::string pattern = fields.string("Regex");
  if (const auto known = recognise_pattern(pattern)) return *known;
  return Regex(pattern, where);
}

std::string read_character(const JsonFields& fields, std::string_view key) {
  std::string text = fields.string(key);
  const bool one =
      !text.empty() && static_cast<size_t>(code_point_at(text, 0).bytes) == text.size();
  if (one) return text;
  throw InputError({.where = fields.where() + ": " + std::string(key),
                    .what = "bad value",
                    .got = "'" + text.substr(0, 60) + "'",
                    .expected = "one character"});
}

const Json& read_steps(const JsonFields& fields, std::string_view key) {
  const Json* steps = fields.find(key);
  if (steps != nullptr && steps->is_array()) return *steps;
  throw InputError({.where = fields.where() + ": " + std::string(key),
                    .what = "bad value",
                    .expected = "an array"});
}

void check_steps(size_t steps, const std::string& where) {
  constexpr size_t kMaxSteps = 128;  // a handful in every published tokenizer
  if (steps <= kMaxSteps) return;
  throw InputError({.where = where,
                    .what = "too many steps",
                    .got = std::to_string(steps),
                    .expected = "at most " + std::to_string(kMaxSteps)});
}

void throw_unknown(const std::string& where, const std::string& type, std::string supported) {
  throw InputError({.where = where,
                    .what = "not supported",
                    .got = "'" + type.substr(0, 60) + "'",
                    .expected = std::move(supported)});
}

}  // namespace dms::text
