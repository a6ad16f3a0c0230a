#pragma once
// JSON from files that strangers wrote: parsing with a clear error, and typed access to fields.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/json_events.h"

namespace dms {

using Json = nlohmann::json;

/// Keeps the order of keys; a Json has them sorted.
using OrderedJson = nlohmann::ordered_json;

/// Parses `text` in time linear in it; `where` names it in errors. Of equal keys the last wins, as
/// in Python, and Python's NaN and Infinity are numbers that are not finite. Throws InputError
/// naming line and column on malformed JSON and beyond the limits.
Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});
OrderedJson parse_ordered_json(std::string_view text,
                               const std::string& where,
                               const JsonLimits& limits = {});

/// Reads and parses a JSON file of at most `max_bytes`.
Json read_json_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);

/// `value` as a file of its own, indented by two; NaN and Infinity spelled as Python does, which
/// JSON has no numbers for.
std::string json_file_text(const Json& value);

/// `value` on one line, shortened: what an error quotes.
std::string quote_json(const Json& value);

/// Typed access to the fields of one JSON object. Every getter throws InputError naming file and
/// field when the value has another type or lies outside the bounds. A JSON null counts as absent.
class JsonFields {
 public:
  /// `object` must outlive this view. Throws InputError unless it is a JSON object.
  JsonFields(const Json& object, std::string where);

  bool has(std::string_view key) const;
  /// The key is there and its value is null.
  bool is_null(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  int64_t integer_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  double number(std::string_view key, double min, double max) const;
  double number_or(std::string_view key, double fallback, double min, double max) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  std::string string(std::string_view key) const;
  std::string string_or(std::string_view key, std::string fallback) const;
  /// The raw value, or null when absent.
  const Json* find(std::string_view key) const;
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  const Json* object_;
};

/// A JSON array of integers in [0, max]; `where` names it in errors.
std::vector<int32_t> integer_array(const Json& value, int64_t max, const std::string& where);

}  // namespace dms
