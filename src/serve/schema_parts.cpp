#include "serve/schema_parts.h"

#include <algorithm>
#include <array>
#include <string_view>

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

bool is_required(const OrderedJson& schema, const std::string& name) {
  const auto required = schema.find("required");
  return required != schema.end() && required->is_array() &&
         std::ranges::find(*required, OrderedJson(name)) != required->end();
}

/// References within `part` are to what the whole schema defines.
OrderedJson with_definitions(const OrderedJson& part, const OrderedJson& schema) {
  if (!part.is_object()) return part;
  const bool has_references =
      part.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).find("\"$ref\"") !=
      std::string::npos;
  OrderedJson out = part;
  for (const std::string_view key : kDefinitions) {
    const auto found = schema.find(key);
    if (has_references && found != schema.end() && !out.contains(key)) out[key] = *found;
  }
  return out;
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
  std::vector<Parameter> out;
  const auto properties = schema.find("properties");
  if (properties != schema.end() && properties->is_object()) {
    for (const auto& [name, part] : properties->items()) {
      out.push_back({.name = name,
                     .schema = with_definitions(part, schema),
                     .is_required = is_required(schema, name)});
    }
  }
  const auto required = schema.find("required");
  if (required == schema.end() || !required->is_array()) return out;
  for (const OrderedJson& name : *required) {
    const bool is_new =
        name.is_string() &&
        std::ranges::find(out, name.get<std::string>(), &Parameter::name) == out.end();
    if (is_new) {
      out.push_back(
          {.name = name.get<std::string>(), .schema = OrderedJson::object(), .is_required = true});
    }
  }
  return out;
}

std::vector<OrderedJson> choices_of(const OrderedJson& schema) {
  std::vector<OrderedJson> out;
  if (schema.is_object()) {
    for (const char* key : {"anyOf", "oneOf"}) {
      const auto found = schema.find(key);
      if (found == schema.end() || !found->is_array() || found->empty()) continue;
      for (const OrderedJson& choice : *found) out.push_back(merged(schema, key, choice));
      return out;
    }
    const auto type = schema.find("type");
    if (type != schema.end() && type->is_array() && !type->empty()) {
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
