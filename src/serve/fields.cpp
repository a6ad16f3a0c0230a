#include "serve/fields.h"

#include <utility>

#include "base/bounds.h"

namespace dms::serve {

OrderedJson parse_body(std::string_view body, const RequestLimits& limits) {
  try {
    OrderedJson value = parse_ordered_json(
        body, "body", {.depth = limits.json_depth, .values = limits.json_values});
    if (!value.is_object()) refuse_value("body", value, "a JSON object");
    return value;
  } catch (const InputError& error) {
    throw ApiError(400, error.what(), {}, "invalid_json");
  }
}

void refuse_value(const std::string& name, const OrderedJson& got, const std::string& expected) {
  constexpr size_t kLongest = 60;
  std::string text =
      got.is_structured() ? std::string(got.is_array() ? "an array" : "an object") : json_text(got);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  throw ApiError::from(
      InputError({.field = name, .what = "bad value", .got = text, .expected = expected}));
}

std::optional<int64_t> integer_of(const OrderedJson& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return std::nullopt;
  }
  const auto number = value.get<int64_t>();
  if (number < min || number > max) return std::nullopt;
  return number;
}

Fields::Fields(const OrderedJson& object, std::string place)
    : place_(std::move(place)), object_(&object) {
  if (!object.is_object()) refuse_value(place_, object, "a JSON object");
}

std::string Fields::name_of(std::string_view key) const {
  return place_.empty() ? std::string(key) : place_ + "." + std::string(key);
}

void Fields::refuse(std::string_view key,
                    const OrderedJson& got,
                    const std::string& expected) const {
  refuse_value(name_of(key), got, expected);
}

const OrderedJson* Fields::find(std::string_view key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> Fields::integer(std::string_view key, int64_t min, int64_t max) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = integer_of(*value, min, max);
  if (!number) refuse(key, *value, integer_in(min, max));
  return number;
}

std::optional<double> Fields::number(std::string_view key, double min, double max) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool fits =
      value->is_number() && value->get<double>() >= min && value->get<double>() <= max;
  if (!fits) refuse(key, *value, number_in(min, max));
  return value->get<double>();
}

std::optional<bool> Fields::boolean(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) refuse(key, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::string> Fields::text(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse(key, *value, "a string");
  return value->get<std::string>();
}

const OrderedJson* Fields::array(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value != nullptr && !value->is_array()) refuse(key, *value, "an array");
  return value;
}

const OrderedJson* Fields::object(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value != nullptr && !value->is_object()) refuse(key, *value, "an object");
  return value;
}

}  // namespace dms::serve
