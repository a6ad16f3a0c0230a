#include "serve/python_arguments.h"

#include <string>
#include <utility>
#include <vector>

#include "dms/structure.h"
#include "serve/format_parts.h"
#include "serve/schema_parts.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::Item;
using format_parts::one_of;
using format_parts::sequence;

/// Inside of lists and objects they are JSON's words, which are read as well.
std::string python_text(const OrderedJson& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  return json_text(value);
}

OutJson one_of_values(const std::vector<OrderedJson>& values) {
  std::vector<OutJson> out;
  for (const OrderedJson& value : values) out.push_back(constant(python_text(value)));
  return one_of(std::move(out));
}

OutJson value_of(const OrderedJson& schema, bool is_strict) {
  const auto type = schema.is_object() ? schema.find("type") : schema.end();
  if (type != schema.end() && *type == "boolean") return one_of_values({true, false});
  if (type != schema.end() && *type == "null") return constant("None");
  return format_parts::json_value(schema, is_strict);
}

OutJson argument_of(const Parameter& parameter, bool is_strict) {
  const std::vector<OrderedJson> values = values_of(parameter.schema);
  if (!values.empty()) return one_of_values(values);
  std::vector<OutJson> choices;
  for (const OrderedJson& choice : choices_of(parameter.schema)) {
    const std::vector<OrderedJson> own = values_of(choice);
    choices.push_back(own.empty() ? value_of(choice, is_strict) : one_of_values(own));
  }
  return one_of(std::move(choices));
}

void require_keyword(const Tool& tool, const std::string& name) {
  if (!name.empty() && name.find_first_of("()[]{}=,:'\"\\ \t\r\n") == std::string::npos) return;
  throw ApiError(
      400,
      "tools: a parameter of \"" + tool.name +
          "\" has a name that is none of a keyword argument's, as the model writes calls",
      "tools");
}

/// What each parameter refers to is repeated.
[[noreturn]] void refuse_length(const Tool& tool) {
  throw ApiError(400, "tools: the parameters of \"" + tool.name + "\" are too long", "tools");
}

}  // namespace

OutJson python_arguments(const Tool& tool) {
  refuse_other_keywords(
      tool, tool.parameters, {"type", "properties", "required", "additionalProperties"});
  std::vector<Item> items;
  size_t bytes = 0;
  for (Parameter& parameter : parameters_of(tool.parameters)) {
    require_keyword(tool, parameter.name);
    parameter.schema = with_definitions(std::move(parameter.schema), tool.parameters);
    bytes += json_text(parameter.schema).size();
    if (bytes > kMostTagBytes) refuse_length(tool);
    items.push_back({.format = sequence(
                         {constant(parameter.name + "="), argument_of(parameter, tool.is_strict)}),
                     .is_required = parameter.is_required});
  }
  return format_parts::list(items, ", ");
}

}  // namespace dms::serve
