#include "grammar/schema_disjoint.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "grammar/schema_rules.h"

namespace dms::grammar {
namespace {

constexpr int kMostNesting = 16;  // unions in unions, references to references: a circle has no end
constexpr int kMostProperties = 4;  // properties of properties

const OrderedJson* member(const OrderedJson& schema, std::string_view key) {
  const auto found = schema.find(key);
  return found == schema.end() ? nullptr : &*found;
}

/// A schema's values where it lists them; null where it does not.
const OrderedJson* listed_values(const OrderedJson& schema, OrderedJson& one) {
  if (const OrderedJson* value = member(schema, "const")) {
    one = OrderedJson::array({*value});
    return &one;
  }
  const OrderedJson* values = member(schema, "enum");
  return values != nullptr && values->is_array() ? values : nullptr;
}

/// Empty: values of any type. Without "type" the keywords of one type say which is meant.
std::set<std::string> types_of(const OrderedJson& schema) {
  std::set<std::string> types;
  if (const OrderedJson* type = member(schema, "type")) {
    for (const OrderedJson& name : type->is_array() ? *type : OrderedJson::array({*type})) {
      if (!name.is_string()) return {};
      types.insert(name.get<std::string>());
    }
    return types;
  }
  for (const auto& [key, value] : schema.items()) {
    if (is_enforced(key) && !type_of_keyword(key).empty()) {
      types.insert(std::string(type_of_keyword(key)));
    }
  }
  return types.size() == 1 ? types : std::set<std::string>();
}

/// 2.0 is an integer in JSON Schema.
bool may_be(const OrderedJson& value, const std::string& type) {
  if (type != "integer" || !value.is_number_float()) return is_of_type(value, type);
  return value.get<double>() == std::floor(value.get<double>());
}

bool may_be(const OrderedJson& value, const std::set<std::string>& types) {
  return types.empty() ||
         std::ranges::any_of(types, [&](const auto& type) { return may_be(value, type); });
}

/// The types that values of both may have; an integer is a number.
std::set<std::string> common_types(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> common;
  for (const std::string& type : a) {
    const bool is_number = type == "integer" || type == "number";
    if (b.contains(type) || (is_number && (b.contains("integer") || b.contains("number")))) {
      common.insert(type);
    }
  }
  return common;
}

bool requires_property(const OrderedJson& schema, const OrderedJson& name) {
  const OrderedJson* required = member(schema, "required");
  return required != nullptr && required->is_array() &&
         std::ranges::find(*required, name) != required->end();
}

const OrderedJson* property_of(const OrderedJson& schema, const std::string& name) {
  const OrderedJson* properties = member(schema, "properties");
  return properties != nullptr && properties->is_object() ? member(*properties, name) : nullptr;
}

/// For one name.
size_t looked_through(const OrderedJson& schema) {
  size_t entries = schema.size();
  for (const char* key : {"required", "properties"}) {
    if (const OrderedJson* list = member(schema, key)) entries += list->size();
  }
  return entries;
}

}  // namespace

bool Disjointness::take(size_t steps) {
  const bool has_enough = steps <= steps_left_;
  steps_left_ -= std::min(steps, steps_left_);
  return has_enough;
}

/// What a reference leads to; null: nothing that is known here.
const OrderedJson* Disjointness::find(const OrderedJson& reference) {
  if (!reference.is_string()) return nullptr;
  const auto& target = reference.get_ref<const std::string&>();
  const bool is_own = target.starts_with('#') && target.find('%') == std::string::npos;
  if (!is_own || !take(target.size())) return nullptr;
  try {
    return &root_.at(OrderedJson::json_pointer(target.substr(1)));
  } catch (const OrderedJson::exception&) {
    return nullptr;
  }
}

/// The schemas, neither unions nor references, that have all values of `schema` together. False:
/// cannot be told.
bool Disjointness::collect(const OrderedJson& schema, int depth, Parts& out) {
  if (!schema.is_object() || depth > kMostNesting || !take(1 + schema.size())) return false;
  const auto deciding = deciding_keywords();
  const auto decider = std::ranges::find_if(
      deciding, [&](std::string_view keyword) { return schema.contains(keyword); });
  if (decider == deciding.end() || *decider == "const" || *decider == "enum") {
    out.push_back(&schema);
    return true;
  }
  const OrderedJson& value = *member(schema, *decider);
  if (*decider == "$ref") {
    const OrderedJson* target = find(value);
    return target != nullptr && collect(*target, depth + 1, out);
  }
  if (*decider == "allOf" && value.size() != 1) return false;
  return collect_all(value, depth + 1, out);
}

bool Disjointness::collect_all(const OrderedJson& schemas, int depth, Parts& out) {
  return schemas.is_array() && std::ranges::all_of(schemas, [&](const OrderedJson& schema) {
           return collect(schema, depth, out);
         });
}

bool Disjointness::overlap(const Parts& a, const Parts& b, int depth) {
  return std::ranges::any_of(a, [&](const OrderedJson* one) {
    return std::ranges::any_of(
        b, [&](const OrderedJson* other) { return overlap(*one, *other, depth); });
  });
}

bool Disjointness::overlap(const OrderedJson& a, const OrderedJson& b, int depth) {
  if (!take(4 + a.size() + b.size())) return true;
  OrderedJson one;
  if (const OrderedJson* values = listed_values(a, one)) return values_overlap(*values, b);
  if (const OrderedJson* values = listed_values(b, one)) return values_overlap(*values, a);
  const std::set<std::string> types = types_of(a);
  const std::set<std::string> others = types_of(b);
  if (types.empty() || others.empty()) return true;
  const std::set<std::string> common = common_types(types, others);
  if (common.empty()) return false;
  return common != std::set<std::string>{"object"} || objects_overlap(a, b, depth);
}

/// Whether any of `values` may be one of `schema`'s.
bool Disjointness::values_overlap(const OrderedJson& values, const OrderedJson& schema) {
  OrderedJson one;
  const OrderedJson* others = listed_values(schema, one);
  if (!take(values.size() * (others == nullptr ? 1 : others->size()))) return true;
  const std::set<std::string> types =
      others == nullptr ? types_of(schema) : std::set<std::string>();
  return std::ranges::any_of(values, [&](const OrderedJson& value) {
    if (others != nullptr) return std::ranges::find(*others, value) != others->end();
    return may_be(value, types);
  });
}

/// They do not where both require a property that cannot be the same in both.
bool Disjointness::objects_overlap(const OrderedJson& a, const OrderedJson& b, int depth) {
  const OrderedJson* required = member(a, "required");
  if (required == nullptr || !required->is_array() || depth == kMostProperties) return true;
  return std::ranges::none_of(*required, [&](const OrderedJson& name) {
    if (!name.is_string() || !take(looked_through(a) + looked_through(b))) return false;
    if (!requires_property(b, name)) return false;
    const OrderedJson* mine = property_of(a, name.get<std::string>());
    const OrderedJson* other = property_of(b, name.get<std::string>());
    Parts parts;
    Parts other_parts;
    return mine != nullptr && other != nullptr && collect(*mine, 0, parts) &&
           collect(*other, 0, other_parts) && !overlap(parts, other_parts, depth + 1);
  });
}

bool Disjointness::are_disjoint(const OrderedJson& schemas) {
  std::vector<Parts> all;
  for (const OrderedJson& schema : schemas) {
    if (!collect(schema, 0, all.emplace_back())) return false;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) {
      if (overlap(all[i], all[j], 0)) return false;
    }
  }
  return true;
}

}  // namespace dms::grammar
