#include "grammar/schema_walk.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "dms/error.h"
#include "grammar/schema_disjoint.h"
#include "grammar/schema_refusal.h"
#include "grammar/schema_rules.h"
#include "grammar/schema_strings.h"
#include "grammar/schema_values.h"

namespace dms::grammar {
namespace {

constexpr size_t kMostReferences = 512;

bool has(const OrderedJson& schema, const char* keyword) { return schema.contains(keyword); }

bool is_true(const OrderedJson& schema, const char* keyword) {
  const auto found = schema.find(keyword);
  return found != schema.end() && !(found->is_boolean() && !found->get<bool>());
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Goes through a schema and all that it refers to.
class SchemaChecker {
 public:
  SchemaChecker(OrderedJson& root,
                bool refuses_unenforced,
                const FormLimits& limits,
                std::string where)
      : root_(root),
        refusal_(refuses_unenforced, std::move(where)),
        limits_(limits),
        disjointness_(root) {}

  void check() {
    check_schema(root_, "");
    // What is referred to is looked up now: a check says what a schema leaves open, so that what is
    // within may move.
    while (!targets_.empty()) {
      const std::string target = std::move(targets_.back());
      targets_.pop_back();
      check_schema(find(target, target), target);
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& path,
                           const std::string& what,
                           const std::string& hint = {}) const {
    refusal_.refuse(path, what, hint);
  }

  void refuse_unenforced(const std::string& path, const std::string& hint = {}) const {
    refusal_.refuse_unenforced(path, hint);
  }

  void check_schema(OrderedJson& schema, const std::string& path) {
    if (schema.is_boolean()) return;
    if (!schema.is_object()) refuse(path, "is no schema");
    if (!refusal_.refuses_unenforced()) leave_aside(schema);
    for (const auto& [key, value] : schema.items())
      check_keyword(key, is_true(schema, key.c_str()), path);
    for (const std::string_view decider : deciding_keywords()) {
      if (!schema.contains(decider)) continue;
      if (decider == "const" || decider == "enum") {
        return check_listed_values(schema, std::string(decider), path, refusal_);
      }
      check_alone(schema, decider, path);
      return check_decider(schema, decider, path);
    }
    give_type(schema, path);
    check_bounds(schema, path);
    check_strings(schema, path);
    check_arrays(schema, path);
    check_objects(schema, path);
  }

  /// What is well-formed and would yet be refused below.
  void leave_aside(OrderedJson& schema) const {
    for (const char* keyword :
         {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}) {
      const auto count = schema.find(keyword);
      if (count == schema.end() || !count->is_number_integer()) continue;
      if (*count > limits_.most_count) schema.erase(keyword);
    }
    if (has(schema, "$ref") && schema["$ref"].is_string() && !is_own(schema["$ref"])) {
      schema.erase("$ref");
    }
  }

  /// A reference to a schema within this one.
  static bool is_own(const std::string& target) {
    return target.starts_with('#') && target.find('%') == std::string::npos;
  }

  /// Of any schema: what is refused wherever it stands.
  void check_keyword(const std::string& key, bool asks, const std::string& path) const {
    if (key == "$id" && !path.empty()) refuse(path + "/" + key, "only a whole schema has a name");
    if (!is_constraint(key) || is_enforced(key)) return;
    // "uniqueItems": false asks for nothing.
    if (asks) refuse_unenforced(path + "/" + key);
  }

  /// Nothing else is read beside these.
  void check_alone(const OrderedJson& schema,
                   std::string_view decider,
                   const std::string& path) const {
    for (const auto& [key, value] : schema.items()) {
      if (key == decider || !is_constraint(key)) continue;
      refuse_unenforced(path + "/" + key, fmt::format("{} stands beside it", decider));
    }
  }

  void check_decider(OrderedJson& schema, std::string_view decider, const std::string& path) {
    OrderedJson& value = schema[std::string(decider)];
    const std::string place = path + "/" + std::string(decider);
    if (decider == "$ref") return follow(value, place);
    if (!value.is_array() || value.empty()) refuse(place, "is no list of schemas");
    if (decider == "allOf" && value.size() > 1) refuse_unenforced(place, "one schema in it is");
    check_list(value, place);
    if (decider != "oneOf") return;
    // No value is of two of them, which xgrammar sees in the plainest cases only.
    if (!disjointness_.are_disjoint(value)) {
      return refuse_unenforced(
          place,
          "a value may be of two of its schemas: let a required property have another const in "
          "each, or use anyOf");
    }
    OrderedJson schemas = value;
    schema.erase("oneOf");
    schema["anyOf"] = std::move(schemas);
  }

  void check_list(OrderedJson& schemas, const std::string& path) {
    for (size_t i = 0; i < schemas.size(); ++i) {
      check_schema(schemas[i], path + "/" + std::to_string(i));
    }
  }

  OrderedJson& find(const std::string& target, const std::string& path) {
    try {
      return root_.at(OrderedJson::json_pointer(target));
    } catch (const OrderedJson::exception&) {
      refuse(path, "refers to nothing");
    }
  }

  /// A schema within this one is to be checked too, once.
  void follow(const OrderedJson& reference, const std::string& path) {
    const std::string target = reference.is_string() ? reference.get<std::string>() : "";
    if (!is_own(target)) {
      refuse(path, "refers to another place", "\"#/$defs/NAME\" is one of the schema's own");
    }
    if (!followed_.insert(target).second || target == "#") return;
    if (followed_.size() > kMostReferences) refuse(path, "is one of too many references");
    targets_.push_back(target.substr(1));
    find(targets_.back(), path);
  }

  /// Keywords of one type ask nothing where none is named: they then say which is meant.
  void give_type(OrderedJson& schema, const std::string& path) const {
    if (has(schema, "type")) return;
    std::set<std::string_view> types;
    for (const auto& [key, value] : schema.items()) {
      if (is_enforced(key) && !type_of_keyword(key).empty()) types.insert(type_of_keyword(key));
    }
    if (types.size() > 1) refuse(path, "has keywords of several types and no type");
    if (types.size() == 1) schema["type"] = std::string(*types.begin());
  }

  static bool is_typed(const OrderedJson& schema, const std::string& type) {
    const auto found = schema.find("type");
    if (found == schema.end()) return false;
    if (found->is_string()) return *found == type;
    return found->is_array() && std::ranges::find(*found, OrderedJson(type)) != found->end();
  }

  void check_count(const OrderedJson& schema, const char* keyword, const std::string& path) const {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return;
    if (found->is_number_integer() && *found >= 0 && *found <= limits_.most_count) return;
    throw InputError({.field = refusal_.where(),
                      .what = path + "/" + keyword + ": not a count that an answer is held to",
                      .got = quote_json(Json::parse(found->dump())),
                      .expected = fmt::format("0 to {}", limits_.most_count)});
  }

  /// Of integers; xgrammar's are of 64 bits.
  void check_bounds(const OrderedJson& schema, const std::string& path) const {
    if (!is_typed(schema, "integer")) return;
    for (const char* keyword : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      const auto bound = schema.find(keyword);
      if (bound == schema.end() || !is_beyond_64_bits(*bound)) continue;
      throw InputError({.field = refusal_.where(),
                        .what = path + "/" + keyword + ": not a bound that an answer is held to",
                        .got = bound->dump(),
                        .expected = "an integer of 64 bits",
                        .hint = "leave it out"});
    }
  }

  void check_strings(OrderedJson& schema, const std::string& path) const {
    if (is_typed(schema, "number") && has(schema, "multipleOf")) {
      refuse_unenforced(path + "/multipleOf", "of integers it is");
    }
    if (!is_typed(schema, "string")) return;
    check_count(schema, "minLength", path);
    check_count(schema, "maxLength", path);
    check_text_keywords(schema, path, limits_, refusal_);
  }

  /// What may be in an array that says nothing of its items.
  void check_arrays(OrderedJson& schema, const std::string& path) {
    if (!is_typed(schema, "array")) return;
    check_count(schema, "minItems", path);
    check_count(schema, "maxItems", path);
    if (has(schema, "prefixItems")) {
      if (!schema["prefixItems"].is_array()) refuse(path + "/prefixItems", "is no list of schemas");
      check_list(schema["prefixItems"], path + "/prefixItems");
      // Arrays are as long as the list, as objects have the properties that are named.
      if (!has(schema, "minItems")) schema["minItems"] = schema["prefixItems"].size();
      if (schema["minItems"] < schema["prefixItems"].size()) {
        refuse_unenforced(path + "/minItems", "an answer would have all prefixItems");
      }
    } else if (!has(schema, "items") && !has(schema, "unevaluatedItems")) {
      schema["items"] = true;
    }
    for (const char* keyword : {"items", "unevaluatedItems"}) {
      if (has(schema, keyword)) check_schema(schema[keyword], path + "/" + keyword);
    }
  }

  void check_objects(OrderedJson& schema, const std::string& path) {
    if (!is_typed(schema, "object")) return;
    check_count(schema, "minProperties", path);
    check_count(schema, "maxProperties", path);
    hold_patterns_of_names(schema, path + "/patternProperties");
    settle_property_names(schema, path + "/propertyNames");
    const bool is_named = has(schema, "properties");
    const bool is_patterned = has(schema, "patternProperties") || has(schema, "propertyNames");
    if (!is_named && !is_patterned && !has(schema, "additionalProperties") &&
        !has(schema, "unevaluatedProperties")) {
      schema["additionalProperties"] = true;
    }
    check_patterned(schema, path);
    check_property_names(schema, path);
    check_required(schema, path);
    check_names(schema, path);
    const bool is_counted = has(schema, "minProperties") || has(schema, "maxProperties");
    if (is_counted && is_named && schema["properties"].size() > limits_.counted_properties) {
      refuse(path + "/properties", "are too many to be counted by minProperties or maxProperties");
    }
    const bool is_open = is_true(schema, "additionalProperties") ||
                         is_true(schema, "unevaluatedProperties") || is_patterned;
    // A name may come twice, of which a reader keeps one.
    if (is_open && schema.value("minProperties", OrderedJson(0)) > 1) {
      refuse_unenforced(path + "/minProperties", "properties have names that are not given");
    }
    for (const char* keyword : {"properties", "patternProperties"}) {
      if (!has(schema, keyword)) continue;
      const std::string place = path + "/" + keyword;
      if (!schema[keyword].is_object()) refuse(place, "is no object of schemas");
      for (auto& [name, property] : schema[keyword].items()) {
        check_schema(property, place + "/" + name);
      }
    }
    for (const char* keyword : {"additionalProperties", "unevaluatedProperties"}) {
      if (has(schema, keyword)) check_schema(schema[keyword], path + "/" + keyword);
    }
  }

  /// Further properties have other names, which xgrammar tells apart where they are ASCII.
  void check_names(const OrderedJson& schema, const std::string& path) const {
    if (!has(schema, "properties")) return;
    for (const char* keyword : {"additionalProperties", "unevaluatedProperties"}) {
      if (!has(schema, keyword) || !is_true(schema, keyword)) continue;
      for (const auto& [name, value] : schema["properties"].items()) {
        if (!is_ascii(name)) refuse_unenforced(path + "/" + keyword, name + " is not ASCII");
      }
    }
  }

  /// Names that are listed, or said in another place: a pattern, and what is said there.
  void settle_property_names(OrderedJson& schema, const std::string& place) {
    const auto found = schema.find("propertyNames");
    if (found == schema.end() || !found->is_object()) return;
    OrderedJson names = *found;
    constexpr int kMostHops = 8;
    for (int i = 0; i < kMostHops && is_reference(names); ++i) {
      names = OrderedJson(find(names["$ref"].get<std::string>().substr(1), place));
    }
    for (const char* decider : {"const", "enum"}) {
      if (!names.is_object() || !has(names, decider)) continue;
      check_listed_values(names, decider, place, refusal_);
      const bool is_list = std::string_view(decider) == "enum";
      const auto pattern =
          pattern_of_texts(is_list ? names[decider] : OrderedJson::array({names[decider]}));
      if (!pattern || pattern->size() > limits_.pattern_bytes) break;
      names = {{"type", "string"}, {"pattern", *pattern}};
    }
    const bool is_decided = std::ranges::any_of(
        deciding_keywords(), [&](std::string_view decider) { return names.contains(decider); });
    if (is_decided && !refusal_.refuses_unenforced()) {
      schema.erase("propertyNames");
    } else {
      *found = std::move(names);
    }
  }

  /// To a schema within this one, and nothing else.
  static bool is_reference(const OrderedJson& schema) {
    if (!schema.is_object() || !has(schema, "$ref") || !schema["$ref"].is_string()) return false;
    return is_own(schema["$ref"]) && std::ranges::none_of(schema.items(), [](const auto& item) {
             return item.key() != "$ref" && is_constraint(item.key());
           });
  }

  /// Names are texts, of which xgrammar makes sure by "type" alone: what decides instead of it
  /// could be any value.
  void check_property_names(OrderedJson& schema, const std::string& path) {
    if (!has(schema, "propertyNames")) return;
    const std::string place = path + "/propertyNames";
    OrderedJson& names = schema["propertyNames"];
    if (!names.is_object()) refuse(place, "is no schema of names");
    for (const std::string_view decider : deciding_keywords()) {
      if (!names.contains(decider)) continue;
      refuse(place + "/" + std::string(decider), "names are not held to it");
    }
    if (!has(names, "type")) names["type"] = "string";
    if (names["type"] != "string") refuse(place + "/type", "names are texts");
    check_schema(names, place);
  }

  void check_patterned(const OrderedJson& schema, const std::string& path) const {
    for (const char* keyword : {"patternProperties", "propertyNames"}) {
      if (!has(schema, keyword)) continue;
      const std::string place = path + "/" + keyword;
      const bool is_pattern = std::string_view(keyword) == "patternProperties";
      if (has(schema, "properties") || has(schema, "required")) {
        refuse_unenforced(place, "properties or required stand beside it");
      }
      if (!is_pattern) continue;
      if (schema[keyword].size() != 1 || has(schema, "propertyNames") ||
          is_true(schema, "additionalProperties") || is_true(schema, "unevaluatedProperties")) {
        refuse_unenforced(place, "one pattern by itself is held to");
      }
    }
  }

  void hold_patterns_of_names(OrderedJson& schema, const std::string& place) const {
    const auto found = schema.find("patternProperties");
    if (found == schema.end()) return;
    if (!found->is_object()) refuse(place, "is no object of schemas");
    OrderedJson held = OrderedJson::object();
    for (auto& [pattern, value] : found->items()) {
      const auto text = held_pattern(pattern, place, limits_, refusal_);
      if (text) held[*text] = std::move(value);
    }
    if (held.size() != found->size()) refuse_unenforced(place, "two of them mean the same");
    if (held.empty()) {
      schema.erase("patternProperties");
    } else {
      *found = std::move(held);
    }
  }

  /// A name that no property has could only come by chance.
  void check_required(const OrderedJson& schema, const std::string& path) const {
    const auto required = schema.find("required");
    if (required == schema.end()) return;
    if (!required->is_array()) refuse(path + "/required", "is no list of names");
    for (const OrderedJson& name : *required) {
      if (!name.is_string()) refuse(path + "/required", "is no list of names");
      const auto properties = schema.find("properties");
      if (properties == schema.end() || !properties->contains(name.get<std::string>())) {
        refuse_unenforced(path + "/required",
                          name.get<std::string>() + " is none of the properties");
      }
    }
  }

  OrderedJson& root_;
  SchemaRefusal refusal_;
  const FormLimits& limits_;
  Disjointness disjointness_;
  std::set<std::string> followed_;
  std::vector<std::string> targets_;  // of those, the ones that are not checked yet
};

}  // namespace

void check_schema(OrderedJson& schema,
                  bool refuses_unenforced,
                  const FormLimits& limits,
                  const std::string& where) {
  SchemaChecker(schema, refuses_unenforced, limits, where).check();
}

}  // namespace dms::grammar
