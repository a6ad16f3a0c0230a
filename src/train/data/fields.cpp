#include "train/data/fields.h"

#include <algorithm>

#include "dms/error.h"

namespace dms::train::data {
namespace {

std::vector<std::string> split(std::string_view name, const std::string& where) {
  std::vector<std::string> keys(1);
  for (const char c : name) {
    if (c == '.') {
      keys.emplace_back();
    } else {
      keys.back() += c;
    }
  }
  if (std::ranges::none_of(keys, &std::string::empty)) return keys;
  throw InputError({.where = where,
                    .what = "malformed field name",
                    .got = "'" + std::string(name) + "'",
                    .expected = "like text, meta.title or answers[is_correct]"});
}

std::string names_in(const Json& object) {
  constexpr size_t kMaxShown = 200;
  std::string names;
  for (const auto& [key, value] : object.items()) {
    if (names.size() > kMaxShown) return names + ", …";
    names += (names.empty() ? "" : ", ") + key;
  }
  return names;
}

const Json& follow(const Json& record,
                   const std::vector<std::string>& keys,
                   const std::string& where) {
  const Json* value = &record;
  std::string path;
  for (const std::string& key : keys) {
    path += (path.empty() ? "" : ".") + key;
    const bool is_there = value->is_object() && value->contains(key);
    if (!is_there || (*value)[key].is_null()) {
      throw InputError({.where = where + ": field " + path,
                        .what = is_there ? "is null" : "missing",
                        .expected = value->is_object() ? "one of " + names_in(*value)
                                                       : std::string("an object around it")});
    }
    value = &(*value)[key];
  }
  return *value;
}

void expect_list(const Json& value, const std::string& where) {
  if (value.is_array()) return;
  throw InputError(
      {.where = where, .what = "wrong type", .got = value.type_name(), .expected = "a list"});
}

}  // namespace

FieldPath::FieldPath(const std::string& name, const std::string& where) : name_(name) {
  const size_t open = name.find('[');
  keys_ = split(std::string_view(name).substr(0, open), where);
  if (open == std::string::npos) return;
  const bool is_closed = name.ends_with(']');
  const size_t length = name.size() - open - (is_closed ? 2 : 1);
  mask_ = split(is_closed ? std::string_view(name).substr(open + 1, length) : std::string_view(),
                where);
}

const Json& FieldPath::find(const Json& record, const std::string& where) const {
  const Json& value = follow(record, keys_, where);
  if (mask_.empty()) return value;
  const Json& mask = follow(record, mask_, where);
  expect_list(value, where + ": field " + name_);
  expect_list(mask, where + ": field " + name_);
  for (size_t i = std::min(value.size(), mask.size()); i-- > 0;) {
    if (mask[i] == true) return value[i];
  }
  throw InputError({.where = where + ": field " + name_,
                    .what = "no element is marked true",
                    .hint = "drop such records with a filter like any(NAME)"});
}

const std::string& FieldPath::find_text(const Json& record, const std::string& where) const {
  const Json& value = find(record, where);
  if (!value.is_string()) {
    throw InputError({.where = where + ": field " + name_,
                      .what = "wrong type",
                      .got = value.is_array() ? "a list" : value.type_name(),
                      .expected = "a string",
                      .hint = value.is_array() ? "of a list, " + name_ +
                                                     "[MASK] takes the last element that the list "
                                                     "MASK marks true"
                                               : ""});
  }
  return value.get_ref<const std::string&>();
}

}  // namespace dms::train::data
