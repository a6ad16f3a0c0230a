#include "base/json.h"

#include <cmath>

#include "base/mapped_file.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int kMaxDepth = 64;

std::string shorten(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

[[noreturn]] void wrong(const std::string& where,
                        std::string_view key,
                        const Json& value,
                        const std::string& expected) {
  throw InputError({.where = where + ": " + std::string(key),
                    .what = "bad value",
                    .got = shorten(value),
                    .expected = expected});
}

template <class T>
std::string range(T min, T max) {
  return Json(min).dump() + " to " + Json(max).dump();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  bool too_deep = false;
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) {
      too_deep = true;
      return false;
    }
    return true;
  };
  Json value;
  try {
    value = Json::parse(text, limit_depth);
  } catch (const Json::exception& error) {
    throw InputError({.where = where, .what = std::string("malformed JSON: ") + error.what()});
  }
  if (too_deep) {
    throw InputError({.where = where,
                      .what = "JSON nested too deeply",
                      .expected = "at most " + std::to_string(kMaxDepth) + " levels"});
  }
  return value;
}

Json read_json_file(const std::filesystem::path& path, int64_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

JsonFields::JsonFields(const Json& object, std::string where)
    : where_(std::move(where)), object_(&object) {
  if (!object.is_object()) {
    throw InputError({.where = where_,
                      .what = "bad value",
                      .got = shorten(object),
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
                      .expected = "an integer, " + range(min, max)});
  }
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) &&
                    value->get<int64_t>() >= min && value->get<int64_t>() <= max;
  if (!fits) wrong(where_, key, *value, "an integer, " + range(min, max));
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
                      .expected = "a number, " + range(min, max)});
  }
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    wrong(where_, key, *value, "a number, " + range(min, max));
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
                      .got = shorten(value),
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
      wrong(where,
            "element " + std::to_string(numbers.size()),
            item,
            "an integer, " + range<int64_t>(0, max));
    }
    numbers.push_back(static_cast<int32_t>(item.get<uint64_t>()));
  }
  return numbers;
}

}  // namespace dms
