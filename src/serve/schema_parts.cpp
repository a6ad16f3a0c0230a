#include "serve/schema_parts.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "dms/structure.h"
#include "serve/api_error.h"

namespace dms::serve {
namespace {

constexpr std::array<std::string_view, 2> kDefinitions{"$defs", "definitions"};
constexpr std::array<std::string_view, 10> kAnnotations{"title",
                                                        "description",
                                                        "default",
                                                        "examples",
                                                        "deprecated",
                                                        "readOnly",
                                                        "writeOnly",
                                                        "$schema",
                                                        "$id",
                                                        "$comment"};

/// In their order, each once.
std::vector<std::string> required_names(const OrderedJson& schema) {
  std::vector<std::string> names;
  const auto required = schema.find("required");
  if (required == schema.end() || !required->is_array()) return names;
  std::set<std::string> known;
  for (const OrderedJson& name : *required) {
    if (name.is_string() && known.insert(name.get<std::string>()).second) names.push_back(name);
  }
  return names;
}

/// Each choice has what stands beside the list of them.
void check_choices(const OrderedJson& schema, const OrderedJson& list) {
  const size_t beside = json_text(schema).size() - json_text(list).size();
  if (beside * list.size() <= kMostTagBytes) return;
  throw ApiError(400, "tools: what stands beside the choices of a schema is too long", "tools");
}

/// `schema` with `choice`'s keywords in the place of `key`.
OrderedJson merged(const OrderedJson& schema, std::string_view key, const OrderedJson& choice) {
  OrderedJson out = schema;
  out.erase(std::string(key));
  if (choice.is_object()) out.update(choice);
  return out;
}

}  // namespace

std::vector<Parameter> parameters_of(const OrderedJson& schema) {
  const std::vector<std::string> required = required_names(schema);
  const std::set<std::string> is_required(required.begin(), required.end());
  std::set<std::string> known;
  std::vector<Parameter> out;
  const auto properties = schema.find("properties");
  if (properties != schema.end() && properties->is_object()) {
    for (const auto& [name, part] : properties->items()) {
      known.insert(name);
      out.push_back({.name = name, .schema = part, .is_required = is_required.contains(name)});
    }
  }
  for (const std::string& name : required) {
    if (known.contains(name)) continue;
    out.push_back({.name = name, .schema = OrderedJson::object(), .is_required = true});
  }
  return out;
}

OrderedJson with_definitions(OrderedJson part, const OrderedJson& schema) {
  if (!part.is_object()) return part;
  const bool has_references =
      part.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).find("\"$ref\"") !=
      std::string::npos;
  for (const std::string_view key : kDefinitions) {
    const auto found = schema.find(key);
    if (has_references && found != schema.end() && !part.contains(key)) part[key] = *found;
  }
  return part;
}

std::vector<OrderedJson> choices_of(const OrderedJson& schema) {
  std::vector<OrderedJson> out;
  if (schema.is_object()) {
    for (const char* key : {"anyOf", "oneOf"}) {
      const auto found = schema.find(key);
      if (found == schema.end() || !found->is_array() || found->empty()) continue;
      check_choices(schema, *found);
      for (const OrderedJson& choice : *found) out.push_back(merged(schema, key, choice));
      return out;
    }
    const auto type = schema.find("type");
    if (type != schema.end() && type->is_array() && !type->empty()) {
      check_choices(schema, *type);
      for (const OrderedJson& one : *type) {
        out.push_back(merged(schema, "type", OrderedJson{{"type", one}}));
      }
      return out;
    }
  }
  return {schema};
}

std::vector<OrderedJson> values_of(const OrderedJson& schema) {
  if (!schema.is_object()) return {};
  if (const auto found = schema.find("const"); found != schema.end()) return {*found};
  const auto found = schema.find("enum");
  if (found == schema.end() || !found->is_array()) return {};
  return {found->begin(), found->end()};
}

void refuse_other_keywords(const Tool& tool,
                           const OrderedJson& schema,
                           const std::vector<std::string_view>& known) {
  if (!tool.is_strict || !schema.is_object()) return;
  const auto is_in = [](const auto& keys, const std::string& key) {
    return std::ranges::find(keys, std::string_view(key)) != keys.end();
  };
  for (const auto& [key, value] : schema.items()) {
    if (is_in(known, key) || is_in(kAnnotations, key) || is_in(kDefinitions, key)) continue;
    throw ApiError(400,
                   "tools: \"" + tool.name + "\" is strict, and " + key +
                       " is not held to in the form of calls that the model writes",
                   "tools");
  }
}

}  // namespace dms::serve
