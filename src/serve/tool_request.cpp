#include "serve/tool_request.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "base/suggest.h"

namespace dms::serve {
namespace {

constexpr size_t kMostNameBytes = 128;  // as Anthropic has it; OpenAI has 64
constexpr const char* kChoices =
    R"(none, auto, required or {"type": "function", "function": {"name": ...}})";

bool is_name(const std::string& name) {
  const auto is_allowed = [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '-');
  };
  return !name.empty() && name.size() <= kMostNameBytes && std::ranges::all_of(name, is_allowed);
}

std::string read_name(const Fields& function) {
  const std::string name = function.text("name").value_or("");
  if (is_name(name)) return name;
  function.refuse("name", name, "1 to 128 letters, digits, '_' and '-'");
}

/// Arguments have names: they are an object, an empty one where none are named.
OrderedJson read_schema(const Fields& function) {
  const OrderedJson* given = function.object("parameters");
  if (given == nullptr) return {{"type", "object"}, {"properties", OrderedJson::object()}};
  const Fields schema(*given, function.name_of("parameters"));
  const OrderedJson* type = schema.find("type");
  if (type != nullptr && *type != "object") schema.refuse("type", *type, "object");
  return *given;
}

Tool read_tool(const OrderedJson& value, const std::string& place) {
  const Fields fields(value, place);
  const std::string type = fields.text("type").value_or("");
  if (type != "function") fields.refuse("type", type, "function");
  const OrderedJson* given = fields.object("function");
  if (given == nullptr) fields.refuse("function", OrderedJson(), "an object");
  const Fields function(*given, fields.name_of("function"));
  Tool tool{.name = read_name(function)};
  function.text("description");  // for the model alone
  tool.parameters = read_schema(function);
  tool.is_strict = function.boolean("strict").value_or(false);
  return tool;
}

std::vector<Tool> read_list(const Fields& body, const OrderedJson& given, size_t most) {
  if (given.size() > most) body.refuse("tools", given, "at most " + std::to_string(most));
  std::vector<Tool> tools;
  std::set<std::string> names;
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string place = "tools[" + std::to_string(i) + "]";
    tools.push_back(read_tool(given[i], place));
    if (!names.insert(tools.back().name).second) {
      refuse_value(place + ".function.name", tools.back().name, "a name that no other tool has");
    }
  }
  return tools;
}

ApiError unknown_tool(const std::string& name, const std::vector<Tool>& tools) {
  std::vector<std::string> names;
  for (const Tool& tool : tools) names.push_back(tool.name);
  return ApiError::from(InputError({.field = "tool_choice.function.name",
                                    .what = "no such tool",
                                    .got = name.substr(0, kMostNameBytes),
                                    .expected = "the name of one of tools",
                                    .hint = did_you_mean(name.substr(0, kMostNameBytes), names)}));
}

/// {"type": "function", "function": {"name": "f"}}
std::string read_named(const Fields& body, const OrderedJson& choice) {
  const Fields fields(choice, "tool_choice");
  const std::string type = fields.text("type").value_or("");
  if (type != "function") fields.refuse("type", type, kChoices);
  const OrderedJson* function = fields.object("function");
  if (function == nullptr) body.refuse("tool_choice", choice, kChoices);
  const Fields named(*function, "tool_choice.function");
  const auto name = named.text("name");
  if (!name) named.refuse("name", OrderedJson(), "the name of one of tools");
  return *name;
}

void read_choice(const Fields& body, ToolRequest& out) {
  using Choice = ToolRequest::Choice;
  const OrderedJson* choice = body.find("tool_choice");
  if (choice == nullptr || *choice == "auto") {
    out.choice = Choice::automatic;
  } else if (*choice == "none") {
    out.choice = Choice::none;
  } else if (*choice == "required") {
    out.choice = Choice::required;
  } else if (choice->is_object()) {
    out.choice = Choice::named;
    out.name = read_named(body, *choice);
  } else {
    body.refuse("tool_choice", *choice, kChoices);
  }
}

}  // namespace

ToolRequest read_tools(const Fields& body, const RequestLimits& limits) {
  ToolRequest out;
  const OrderedJson* given = body.array("tools");
  std::vector<Tool> tools;
  if (given != nullptr) tools = read_list(body, *given, limits.tools);
  read_choice(body, out);
  out.is_parallel = body.boolean("parallel_tool_calls").value_or(true);
  if (tools.empty()) {
    if (out.must_call()) body.refuse("tool_choice", *body.find("tool_choice"), "tools with it");
    out.choice = ToolRequest::Choice::none;
  }
  if (out.choice == ToolRequest::Choice::none) return out;
  if (out.choice == ToolRequest::Choice::named && find_tool(tools, out.name) == nullptr) {
    throw unknown_tool(out.name, tools);
  }
  out.shown = json_text(*given);
  out.tools = std::make_shared<const std::vector<Tool>>(std::move(tools));
  return out;
}

}  // namespace dms::serve
