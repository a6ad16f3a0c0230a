#include "serve/gemma_arguments.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "serve/escaped_text.h"
#include "serve/format_parts.h"
#include "serve/pattern_characters.h"
#include "serve/schema_parts.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::Item;
using format_parts::one_of;
using format_parts::optional;
using format_parts::repeated;
using format_parts::sequence;

// Objects and arrays inside one another that are held to a schema, where the form has room for
// them: a tag may not be as deep as a schema.
constexpr int kMostDepth = 6;
constexpr int kMostFormatDepth = 48;
// Of one function: references may name a part many times.
constexpr int64_t kMostParts = 2048;
constexpr size_t kMostBytes = size_t{4} << 20;
constexpr int kMostReferences = 16;
constexpr int64_t kMostCount = 10000;  // as of JSON's schemas

OutJson quoted(OutJson text) {
  return sequence({constant(EscapedText::kQuote), std::move(text), constant(EscapedText::kQuote)});
}

/// Without the tags around calls, which may be tokens that stand for no character.
OutJson any_text() {
  return quoted(format_parts::text_without(
      {EscapedText::kQuote, "<start_function_call>", "<end_function_call>"}));
}

/// Characters but the one that the quote begins with.
OutJson text_of_length(int64_t least, int64_t most) {
  if (most == 0) return quoted(constant(""));
  const std::string end = most < 0 ? "" : std::to_string(most);
  return quoted(
      {{"type", "regex"}, {"pattern", "[^<]{" + std::to_string(least) + "," + end + "}"}});
}

/// A schema of texts none of which holds the quote, by the rules of other forms.
OutJson text_of_schema(OutJson schema, bool is_strict) {
  OutJson format = format_parts::json_value(std::move(schema), is_strict);
  format["style"] = "qwen_xml";  // texts as they are
  return quoted(std::move(format));
}

/// Formats none of whose texts holds the quote.
bool is_held_format(const std::string& format) {
  static const std::set<std::string> formats{"date",
                                             "date-time",
                                             "duration",
                                             "hostname",
                                             "ipv4",
                                             "ipv6",
                                             "time",
                                             "uri",
                                             "uri-reference",
                                             "uuid"};
  return formats.contains(format);
}

constexpr const char* kEmail =
    "[A-Za-z0-9_+-]+([.][A-Za-z0-9_+-]+)*@[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
    "([.][a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?){0,6}";

int depth_of(const OutJson& value) {
  int depth = 0;
  if (!value.is_structured()) return depth;
  for (const OutJson& part : value) depth = std::max(depth, depth_of(part));
  return depth + 1;
}

OutJson number(const OrderedJson& schema, bool is_strict) {
  return format_parts::json_value(schema, is_strict);
}

std::string gemma_text(const OrderedJson& value) {
  std::string out;
  if (value.is_string()) {
    return out.append(EscapedText::kQuote)
        .append(value.get<std::string>())
        .append(EscapedText::kQuote);
  }
  if (!value.is_structured()) return json_text(value);
  for (const auto& [key, item] : value.items()) {
    out += out.empty() ? "" : ",";
    if (value.is_object()) out.append(key).append(":");
    out += gemma_text(item);
  }
  return (value.is_object() ? std::string("{").append(out).append("}")
                            : std::string("[").append(out).append("]"));
}

/// `item`s with commas between them.
OutJson items_between(
    const char* open, OutJson item, const char* close, int64_t least, int64_t most) {
  if (most == 0) return sequence({constant(open), constant(close)});
  OutJson next = sequence({constant(","), item});
  OutJson items = sequence(
      {std::move(item),
       repeated(std::move(next), std::max<int64_t>(least - 1, 0), most < 0 ? most : most - 1)});
  if (least < 1) items = optional(std::move(items));
  return sequence({constant(open), std::move(items), constant(close)});
}

OutJson any_scalar() {
  return one_of({any_text(),
                 number({{"type", "number"}}, false),
                 constant("true"),
                 constant("false"),
                 constant("null")});
}

OutJson pair_of(OutJson value) {
  return sequence({format_parts::text_without({":", ",", "{", "}", "[", "]", "<", "\n"}),
                   constant(":"),
                   std::move(value)});
}

/// Lists and objects in what a schema leaves open hold nothing but scalars.
OutJson any_object() { return items_between("{", pair_of(any_scalar()), "}", 0, -1); }

OutJson any_value() {
  return one_of({any_scalar(), items_between("[", any_scalar(), "]", 0, -1), any_object()});
}

class ArgumentsFormat {
 public:
  ArgumentsFormat(const Tool& tool, int most_depth) : tool_(tool), most_depth_(most_depth) {}

  OutJson object(const OrderedJson& schema, int depth);

 private:
  OutJson value(const OrderedJson& schema, int depth);
  OutJson typed(const OrderedJson& schema, int depth);
  OutJson map(const OrderedJson& schema, int depth);
  OutJson array(const OrderedJson& schema, int depth);
  OutJson tuple(const OrderedJson& schema, int depth);
  OutJson text(const OrderedJson& schema) const;
  OrderedJson resolved(OrderedJson schema) const;
  void spend(int64_t parts, const OrderedJson& schema);
  int64_t count(const OrderedJson& schema, const char* key, int64_t other) const;
  void require_key(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& what) const;
  void refuse_if_strict(const std::string& what) const;

  const Tool& tool_;
  int most_depth_;
  int64_t parts_ = 0;  // so far
  size_t bytes_ = 0;
};

void ArgumentsFormat::refuse(const std::string& what) const {
  throw ApiError(400, "tools: \"" + tool_.name + "\": " + what, "tools");
}

void ArgumentsFormat::refuse_if_strict(const std::string& what) const {
  if (!tool_.is_strict) return;
  refuse("is strict, and " + what + " is not held to in the form of calls that the model writes");
}

void ArgumentsFormat::require_key(const std::string& name) const {
  if (!name.empty() && name.find_first_of(":,{}[]<\n") == std::string::npos) return;
  refuse("a parameter has a name that cannot stand in calls as the model writes them");
}

OutJson ArgumentsFormat::object(const OrderedJson& schema, int depth) {
  refuse_other_keywords(tool_, schema, {"type", "properties", "required", "additionalProperties"});
  std::vector<Item> items;
  for (const Parameter& parameter : parameters_of(schema)) {
    require_key(parameter.name);
    items.push_back(
        {.format = sequence({constant(parameter.name + ":"), value(parameter.schema, depth)}),
         .is_required = parameter.is_required});
  }
  return sequence({constant("{"), format_parts::list(items, ","), constant("}")});
}

/// References lead to parts of the function's schema.
OrderedJson ArgumentsFormat::resolved(OrderedJson schema) const {
  for (int i = 0; i < kMostReferences; ++i) {
    if (!schema.is_object()) return schema;
    const auto reference = schema.find("$ref");
    const auto all = schema.find("allOf");
    if (reference != schema.end() && reference->is_string()) {
      refuse_other_keywords(tool_, schema, {"$ref"});
      const auto& target = reference->get_ref<const std::string&>();
      try {
        OrderedJson found =
            tool_.parameters.at(OrderedJson::json_pointer(target.substr(target.find('#') + 1)));
        schema = std::move(found);
      } catch (const OrderedJson::exception&) {
        refuse("a $ref leads to nothing in its parameters");
      }
    } else if (all != schema.end() && all->is_array() && all->size() == 1) {
      refuse_other_keywords(tool_, schema, {"allOf"});
      OrderedJson only = all->front();
      schema = std::move(only);
    } else {
      return schema;
    }
  }
  refuse("a $ref leads to itself");
}

void ArgumentsFormat::spend(int64_t parts, const OrderedJson& schema) {
  parts_ += parts;
  bytes_ += json_text(schema).size();
  if (parts_ > kMostParts || bytes_ > kMostBytes) refuse("its parameters have too many parts");
}

OutJson ArgumentsFormat::value(const OrderedJson& schema, int depth) {
  std::vector<OutJson> choices;
  for (const OrderedJson& choice : choices_of(resolved(schema))) {
    const OrderedJson own = resolved(choice);
    const std::vector<OrderedJson> values = values_of(own);
    spend(1 + std::ssize(values), own);
    for (const OrderedJson& one : values) choices.push_back(constant(gemma_text(one)));
    if (values.empty()) choices.push_back(typed(own, depth));
  }
  return one_of(std::move(choices));
}

/// Where none is named, the keywords say which is meant.
std::string type_of(const OrderedJson& schema) {
  if (!schema.is_object()) return "";
  if (const auto type = schema.find("type"); type != schema.end()) {
    return type->is_string() ? type->get<std::string>() : "";
  }
  constexpr std::array<std::pair<const char*, const char*>, 10> kMeant{
      {{"properties", "object"},
       {"additionalProperties", "object"},
       {"items", "array"},
       {"prefixItems", "array"},
       {"minLength", "string"},
       {"maxLength", "string"},
       {"pattern", "string"},
       {"format", "string"},
       {"minimum", "number"},
       {"maximum", "number"}}};
  for (const auto& [keyword, type] : kMeant) {
    if (schema.contains(keyword)) return type;
  }
  return "";
}

OutJson ArgumentsFormat::typed(const OrderedJson& schema, int depth) {
  const std::string type = type_of(schema);
  if (type == "boolean") return one_of({constant("true"), constant("false")});
  if (type == "null") return constant("null");
  if (type == "integer" || type == "number") return number(schema, tool_.is_strict);
  if (type == "string") return text(schema);
  if (type == "array" && depth < most_depth_) return array(schema, depth + 1);
  if (type == "object" && depth < most_depth_) {
    const bool is_named = schema.contains("properties") || schema.contains("required");
    return is_named ? object(schema, depth + 1) : map(schema, depth + 1);
  }
  refuse_other_keywords(tool_, schema, {"type"});
  return type == "object" ? any_object() : any_value();
}

/// Of keys that have no names.
OutJson ArgumentsFormat::map(const OrderedJson& schema, int depth) {
  refuse_other_keywords(tool_, schema, {"type", "additionalProperties"});
  const auto others = schema.find("additionalProperties");
  if (others == schema.end() || *others == true) return any_object();
  if (!others->is_object()) return constant("{}");
  return items_between("{", pair_of(value(*others, depth)), "}", 0, -1);
}

OutJson ArgumentsFormat::text(const OrderedJson& schema) const {
  refuse_other_keywords(tool_, schema, {"type", "minLength", "maxLength", "pattern", "format"});
  const auto pattern = schema.find("pattern");
  if (pattern != schema.end() && pattern->is_string()) {
    if (!may_hold(pattern->get_ref<const std::string&>(), EscapedText::kQuote.front())) {
      return text_of_schema(schema, tool_.is_strict);
    }
    refuse_if_strict("a pattern of texts that may hold '<'");
  }
  const auto format = schema.find("format");
  if (format != schema.end() && format->is_string()) {
    if (is_held_format(*format)) return text_of_schema(schema, tool_.is_strict);
    if (*format == "email") {
      return text_of_schema({{"type", "string"}, {"pattern", kEmail}}, tool_.is_strict);
    }
    refuse_if_strict("this format");
  }
  const int64_t least = count(schema, "minLength", 0);
  const int64_t most = count(schema, "maxLength", -1);
  return least == 0 && most < 0 ? any_text()
                                : text_of_length(least, most < 0 ? most : std::max(least, most));
}

/// What no answer is held to is left aside.
int64_t ArgumentsFormat::count(const OrderedJson& schema, const char* key, int64_t other) const {
  const auto found = schema.find(key);
  if (found == schema.end()) return other;
  if (found->is_number_unsigned() && *found <= kMostCount) return found->get<int64_t>();
  refuse_if_strict(std::string("such a ") + key);
  return other;
}

OutJson ArgumentsFormat::array(const OrderedJson& schema, int depth) {
  if (schema.contains("prefixItems")) return tuple(schema, depth);
  refuse_other_keywords(tool_, schema, {"type", "items", "minItems", "maxItems"});
  const auto items = schema.find("items");
  OutJson item = items == schema.end() ? any_value() : value(*items, depth);
  const int64_t least = count(schema, "minItems", 0);
  const int64_t most = count(schema, "maxItems", -1);
  return items_between("[", std::move(item), "]", least, most < 0 ? most : std::max(least, most));
}

/// All prefixItems, and no more.
OutJson ArgumentsFormat::tuple(const OrderedJson& schema, int depth) {
  refuse_other_keywords(tool_, schema, {"type", "prefixItems", "items", "minItems", "maxItems"});
  const auto given = schema.find("prefixItems");
  const int64_t size = std::ssize(*given);
  if (!given->is_array() || count(schema, "minItems", 0) > size ||
      count(schema, "maxItems", size) < size) {
    refuse_if_strict("prefixItems, but all of them and no more,");
  }
  std::vector<Item> items;
  if (given->is_array()) {
    for (const OrderedJson& item : *given) items.push_back({.format = value(item, depth)});
  }
  return sequence({constant("["), format_parts::list(items, ","), constant("]")});
}

}  // namespace

/// As deep as the form has room.
OutJson gemma_arguments(const Tool& tool, bool is_held) {
  if (!is_held) return any_object();
  for (int depth = kMostDepth; depth > 1; --depth) {
    OutJson format = ArgumentsFormat(tool, depth).object(tool.parameters, 0);
    if (depth_of(format) <= kMostFormatDepth) return format;
  }
  return ArgumentsFormat(tool, 1).object(tool.parameters, 0);
}

}  // namespace dms::serve
