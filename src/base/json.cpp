#include "base/json.h"

#include <cmath>

#include "base/bounds.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr size_t kMaxQuote = 60;

/// The library writes null for what JSON has no number for.
std::string spelled(const Json& value) {
  if (!value.is_number_float() || std::isfinite(value.get<double>())) {
    return value.dump(-1, ' ', true, Json::error_handler_t::replace);
  }
  if (std::isnan(value.get<double>())) return "NaN";
  return value.get<double>() > 0 ? "Infinity" : "-Infinity";
}

// No text holds it that was not made to deceive.
constexpr const char* kMark = "\x1a number: ";

/// Numbers that are not finite become texts.
void mark_literals(Json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    value = kMark + spelled(value);
  } else if (value.is_structured()) {
    for (Json& child : value) mark_literals(child);
  }
}

[[noreturn]] void wrong(const std::string& where,
                        std::string_view key,
                        const Json& value,
                        const std::string& expected) {
  throw InputError({.where = where + ": " + std::string(key),
                    .what = "bad value",
                    .got = quote_json(value),
                    .expected = expected});
}

}  // namespace

std::string json_file_text(const Json& value) {
  Json copy = value;
  mark_literals(copy);
  std::string text = copy.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  for (const std::string_view literal : {"NaN", "Infinity", "-Infinity"}) {
    const std::string marked = Json(kMark + std::string(literal)).dump();
    for (size_t at = text.find(marked); at != text.npos; at = text.find(marked, at)) {
      text.replace(at, marked.size(), literal);
    }
  }
  return text;
}

std::string quote_json(const Json& value) {
  constexpr std::string_view kCut = "...";
  std::string text = spelled(value);
  if (text.size() > kMaxQuote) text.replace(kMaxQuote - kCut.size(), std::string::npos, kCut);
  return text;
}

JsonFields::JsonFields(const Json& object, std::string where)
    : where_(std::move(where)), object_(&object) {
  if (!object.is_object()) {
    throw InputError({.where = where_,
                      .what = "bad value",
                      .got = quote_json(object),
                      .expected = "a JSON object"});
  }
}

const Json* JsonFields::find(std::string_view key) const {
  const auto it = object_->find(key);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonFields::is_null(std::string_view key) const {
  const auto it = object_->find(key);
  return it != object_->end() && it->is_null();
}

bool JsonFields::has(std::string_view key) const { return find(key) != nullptr; }

int64_t JsonFields::integer(std::string_view key, int64_t min, int64_t max) const {
  const Json* value = find(key);
  if (value == nullptr) {
    throw InputError({.where = where_ + ": " + std::string(key),
                      .what = "missing",
                      .expected = integer_in(min, max)});
  }
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) &&
                    value->get<int64_t>() >= min && value->get<int64_t>() <= max;
  if (!fits) wrong(where_, key, *value, integer_in(min, max));
  return value->get<int64_t>();
}

int64_t JsonFields::integer_or(std::string_view key,
                               int64_t fallback,
                               int64_t min,
                               int64_t max) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double JsonFields::number(std::string_view key, double min, double max) const {
  const Json* value = find(key);
  if (value == nullptr) {
    throw InputError({.where = where_ + ": " + std::string(key),
                      .what = "missing",
                      .expected = number_in(min, max)});
  }
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    wrong(where_, key, *value, number_in(min, max));
  }
  return value->get<double>();
}

double JsonFields::number_or(std::string_view key, double fallback, double min, double max) const {
  return has(key) ? number(key, min, max) : fallback;
}

bool JsonFields::boolean_or(std::string_view key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong(where_, key, *value, "true or false");
  return value->get<bool>();
}

std::string JsonFields::string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) {
    throw InputError(
        {.where = where_ + ": " + std::string(key), .what = "missing", .expected = "a string"});
  }
  if (!value->is_string()) wrong(where_, key, *value, "a string");
  return value->get<std::string>();
}

std::string JsonFields::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : std::move(fallback);
}

std::vector<int32_t> integer_array(const Json& value, int64_t max, const std::string& where) {
  if (!value.is_array()) {
    throw InputError({.where = where,
                      .what = "bad value",
                      .got = quote_json(value),
                      .expected = "a JSON array of integers"});
  }
  std::vector<int32_t> numbers;
  numbers.reserve(value.size());
  for (const Json& item : value) {
    // Numbers that did not come from JSON text (YAML) may be signed though not negative.
    const bool is_natural =
        item.is_number_unsigned() || (item.is_number_integer() && item.get<int64_t>() >= 0);
    const bool fits = is_natural && item.get<uint64_t>() <= static_cast<uint64_t>(max);
    if (!fits) {
      wrong(where, "element " + std::to_string(numbers.size()), item, integer_in(0, max));
    }
    numbers.push_back(static_cast<int32_t>(item.get<uint64_t>()));
  }
  return numbers;
}

}  // namespace dms
