#include "serve/gemma_arguments.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "serve/escaped_text.h"
#include "serve/format_parts.h"
#include "serve/schema_parts.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::Item;
using format_parts::one_of;
using format_parts::optional;
using format_parts::repeated;
using format_parts::sequence;

// Objects and arrays inside one another that are held to a schema: a tag may not be as deep as a
// schema.
constexpr int kMostDepth = 3;

OutJson quoted(OutJson text) {
  return sequence({constant(EscapedText::kQuote), std::move(text), constant(EscapedText::kQuote)});
}

OutJson any_text() { return quoted(format_parts::text_without({EscapedText::kQuote})); }

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
  explicit ArgumentsFormat(const Tool& tool) : tool_(tool) {}

  OutJson object(const OrderedJson& schema, int depth) const;

 private:
  OutJson value(const OrderedJson& schema, int depth) const;
  OutJson typed(const OrderedJson& schema, int depth) const;
  OutJson array(const OrderedJson& schema, int depth) const;
  void require_key(const std::string& name) const;

  const Tool& tool_;
};

void ArgumentsFormat::require_key(const std::string& name) const {
  if (!name.empty() && name.find_first_of(":,{}[]<\n") == std::string::npos) return;
  throw ApiError(400,
                 "tools: a parameter of \"" + tool_.name +
                     "\" has a name that cannot stand in calls as the model writes them",
                 "tools");
}

OutJson ArgumentsFormat::object(const OrderedJson& schema, int depth) const {
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

OutJson ArgumentsFormat::value(const OrderedJson& schema, int depth) const {
  std::vector<OutJson> choices;
  for (const OrderedJson& choice : choices_of(schema)) {
    const std::vector<OrderedJson> values = values_of(choice);
    for (const OrderedJson& one : values) choices.push_back(constant(gemma_text(one)));
    if (values.empty()) choices.push_back(typed(choice, depth));
  }
  return one_of(std::move(choices));
}

OutJson ArgumentsFormat::typed(const OrderedJson& schema, int depth) const {
  const auto found = schema.is_object() ? schema.find("type") : schema.end();
  const std::string type =
      found != schema.end() && found->is_string() ? found->get<std::string>() : "";
  if (type == "boolean") return one_of({constant("true"), constant("false")});
  if (type == "null") return constant("null");
  if (type == "integer" || type == "number") return number(schema, tool_.is_strict);
  if (type == "array" && depth < kMostDepth) return array(schema, depth + 1);
  if (type == "object" && depth < kMostDepth && schema.contains("properties")) {
    return object(schema, depth + 1);
  }
  refuse_other_keywords(tool_, schema, {"type"});
  if (type == "string") return any_text();
  if (type == "object") return any_object();
  return any_value();
}

OutJson ArgumentsFormat::array(const OrderedJson& schema, int depth) const {
  refuse_other_keywords(tool_, schema, {"type", "items", "minItems", "maxItems"});
  const auto count = [&](const char* key, int64_t other) {
    constexpr int64_t kMost = 10000;  // as of JSON's schemas
    const auto found = schema.find(key);
    const bool is_count = found != schema.end() && found->is_number_unsigned();
    return is_count ? std::min(found->get<int64_t>(), kMost) : other;
  };
  const auto items = schema.find("items");
  OutJson item = items == schema.end() ? any_value() : value(*items, depth);
  const int64_t least = std::max<int64_t>(count("minItems", 0), 0);
  int64_t most = count("maxItems", -1);
  if (most >= 0) most = std::max(most, least);
  return items_between("[", std::move(item), "]", least, most);
}

}  // namespace

OutJson gemma_arguments(const Tool& tool, bool is_held) {
  return is_held ? ArgumentsFormat(tool).object(tool.parameters, 0) : any_object();
}

}  // namespace dms::serve
