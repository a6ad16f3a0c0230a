#include "grammar/schema_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "dms/error.h"
#include "grammar/field_name.h"
#include "grammar/form_json.h"
#include "grammar/pattern_bytes.h"
#include "grammar/schema_walk.h"

namespace dms::grammar {
namespace {

/// A part of a tag whose schema may ask for what the answer is not held to.
bool is_lenient(const OrderedJson& part) {
  if (!part.contains("json_schema")) return false;
  const auto strict = part.find("strict");
  return strict != part.end() && *strict == false;
}

bool has_lenient_part(const OrderedJson& value) {
  return (value.is_object() && is_lenient(value)) ||
         (value.is_structured() && std::ranges::any_of(value, has_lenient_part));
}

void check_patterns(const OrderedJson& value, const FormLimits& limits, const std::string& where) {
  check_bytes(
      pattern_bytes(value), limits.pattern_bytes, where, "its expressions are too long together");
}

/// A tag's text says which it is: of a call it has the function's name.
InputError in_tag(const InputError& error, const OrderedJson& tag) {
  constexpr size_t kMostBytes = 200;
  const auto begin = tag.find("begin");
  if (begin == tag.end() || !begin->is_string()) return error;
  ErrorParts parts = error.parts();
  const auto& text = begin->get_ref<const std::string&>();
  parts.what += ", in the tag that begins with '" + text.substr(0, kMostBytes) + "'";
  return InputError(parts);
}

/// Of a tag: each schema is one by itself, and no text is longer than one that stands alone.
void check_tag(OrderedJson& value,
               bool refuses_unenforced,
               const FormLimits& limits,
               const std::string& where) {
  if (value.is_string()) {
    check_bytes(value.get_ref<const std::string&>().size(), limits.pattern_bytes, where);
  }
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      check_tag(value[i], refuses_unenforced, limits, fmt::format("{}[{}]", where, i));
    }
  }
  if (!value.is_object()) return;
  const bool refuses_here = refuses_unenforced && !is_lenient(value);
  for (auto& [key, item] : value.items()) {
    const std::string place = where + "." + key;
    if (key == "json_schema" || key == "schema") {
      check_bytes(item.dump().size(), limits.bytes, place);
      check_schema(item, refuses_here, limits, place);
    } else {
      try {
        check_tag(item, refuses_unenforced, limits, place);
      } catch (const InputError& error) {
        throw in_tag(error, value);
      }
    }
  }
  if (value.contains("json_schema")) value.erase("strict");
}

}  // namespace

std::string checked_schema(const Structure& structure, const FormLimits& limits) {
  const std::string where = field_name(structure);
  OrderedJson schema = parse_form(structure, limits);
  check_patterns(schema, limits, where);
  check_schema(schema, structure.refuses_unenforced, limits, where);
  return schema.dump();
}

std::string checked_tag(const Structure& structure, const FormLimits& limits) {
  const std::string where = field_name(structure);
  OrderedJson tag = parse_form(structure, limits);
  check_patterns(tag, limits, where);
  check_tag(tag, structure.refuses_unenforced, limits, where);
  return tag.dump();
}

bool refuses_all_unenforced(const Structure& structure, const FormLimits& limits) {
  if (!structure.refuses_unenforced || structure.kind != Structure::Kind::structural_tag) {
    return structure.refuses_unenforced;
  }
  return !has_lenient_part(parse_form(structure, limits));
}

}  // namespace dms::grammar
