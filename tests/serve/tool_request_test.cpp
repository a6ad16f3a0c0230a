#include "serve/tool_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/facts.h"

namespace dms::serve {
namespace {

using Choice = ToolRequest::Choice;
using testing_support::refusal;

constexpr const char* kTwo =
    R"("tools": [{"type": "function", "function": {"name": "a", "strict": true,
                  "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
                 {"type": "function", "function": {"name": "b-2_", "description": "B"}}])";

ToolRequest parse(const std::string& fields) {
  const OrderedJson json = parse_body("{" + fields + "}", {});
  return read_tools(Fields(json, ""), {});
}

TEST(ToolRequest, ReadsFunctions) {
  const ToolRequest request = parse(kTwo);
  ASSERT_TRUE(request.tools);
  ASSERT_EQ(request.tools->size(), 2U);
  EXPECT_EQ((*request.tools)[0].name, "a");
  EXPECT_TRUE((*request.tools)[0].is_strict);
  EXPECT_EQ((*request.tools)[0].parameters["properties"]["x"]["type"], "integer");
  EXPECT_EQ((*request.tools)[1].name, "b-2_");
  EXPECT_FALSE((*request.tools)[1].is_strict);
  EXPECT_EQ((*request.tools)[1].parameters,
            OrderedJson::parse(R"({"type": "object", "properties": {}})"));
  EXPECT_EQ(request.choice, Choice::automatic);
  EXPECT_TRUE(request.is_parallel);
  EXPECT_FALSE(request.must_call());
  EXPECT_EQ(OrderedJson::parse(request.shown),
            OrderedJson::parse(std::string("{") + kTwo + "}")["tools"]);
}

TEST(ToolRequest, ChoosesAsItSays) {
  const auto choice = [](const std::string& text) {
    return parse(std::string(kTwo) + ", \"tool_choice\": " + text);
  };
  EXPECT_EQ(choice("null").choice, Choice::automatic);
  EXPECT_EQ(choice("\"auto\"").choice, Choice::automatic);
  EXPECT_EQ(choice("\"required\"").choice, Choice::required);
  EXPECT_TRUE(choice("\"required\"").must_call());
  const ToolRequest named = choice(R"({"type": "function", "function": {"name": "b-2_"}})");
  EXPECT_EQ(named.choice, Choice::named);
  EXPECT_EQ(named.name, "b-2_");
  EXPECT_FALSE(parse(std::string(kTwo) + R"(, "parallel_tool_calls": false)").is_parallel);
}

TEST(ToolRequest, WithoutToolsThereIsNothingToChoose) {
  for (const std::string fields : {"",
                                   "\"tools\": null",
                                   "\"tools\": []",
                                   "\"tool_choice\": \"auto\"",
                                   R"("tools": [], "tool_choice": "none")"}) {
    const ToolRequest request = parse(fields);
    EXPECT_EQ(request.choice, Choice::none) << fields;
    EXPECT_EQ(request.tools, nullptr);
    EXPECT_EQ(request.shown, "");
  }
}

TEST(ToolRequest, ToolsThatMayNotBeCalledAreNotShown) {
  const ToolRequest request = parse(std::string(kTwo) + R"(, "tool_choice": "none")");
  EXPECT_EQ(request.tools, nullptr);
  EXPECT_EQ(request.shown, "");
}

TEST(ToolRequest, RefusesWhatIsWrongAndNamesIt) {
  const auto tool = [](const std::string& function) {
    return R"("tools": [{"type": "function", "function": )" + function + "}]";
  };
  const std::string two = kTwo;
  std::string many = R"("tools": [)";
  for (int i = 0; i < 129; ++i) {
    many += (i > 0 ? "," : "");
    many += R"({"type": "function", "function": {"name": "f)" + std::to_string(i) + "\"}}";
  }
  many += "]";
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("tools": {})", "tools"},
      {R"("tools": "a")", "tools"},
      {R"("tools": ["a"])", "tools[0]"},
      {R"("tools": [{}])", "tools[0].type"},
      {R"("tools": [{"type": "custom", "custom": {}}])", "tools[0].type"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {tool("[]"), "tools[0].function"},
      {tool("{}"), "tools[0].function.name"},
      {tool(R"({"name": 5})"), "tools[0].function.name"},
      {tool(R"({"name": ""})"), "tools[0].function.name"},
      {tool(R"({"name": "a b"})"), "tools[0].function.name"},
      {tool(R"({"name": "gr\u00fc\u00dfe"})"), "tools[0].function.name"},
      {tool("{\"name\": \"" + std::string(129, 'a') + "\"}"), "tools[0].function.name"},
      {tool(R"({"name": "a", "parameters": []})"), "tools[0].function.parameters"},
      {tool(R"({"name": "a", "parameters": "{}"})"), "tools[0].function.parameters"},
      {tool(R"({"name": "a", "parameters": {"type": "string"}})"),
       "tools[0].function.parameters.type"},
      {tool(R"({"name": "a", "description": 5})"), "tools[0].function.description"},
      {tool(R"({"name": "a", "strict": "yes"})"), "tools[0].function.strict"},
      {R"("tools": [{"type": "function", "function": {"name": "a"}},
                    {"type": "function", "function": {"name": "a"}}])",
       "tools[1].function.name"},
      {many, "tools"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tools": [], "tool_choice": {"type": "function", "function": {"name": "a"}})",
       "tool_choice"},
      {two + R"(, "tool_choice": "any")", "tool_choice"},
      {two + R"(, "tool_choice": 5)", "tool_choice"},
      {two + R"(, "tool_choice": {"type": "allowed_tools"})", "tool_choice.type"},
      {two + R"(, "tool_choice": {"type": "function"})", "tool_choice"},
      {two + R"(, "tool_choice": {"type": "function", "function": {}})",
       "tool_choice.function.name"},
      {two + R"(, "tool_choice": {"type": "function", "function": {"name": "c"}})",
       "tool_choice.function.name"},
      {two + R"(, "parallel_tool_calls": 1)", "parallel_tool_calls"},
  };
  for (const auto& [fields, param] : cases) {
    SCOPED_TRACE(fields);
    const ApiError error = refusal([&fields = fields] { parse(fields); });
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param);
  }
}

/// Agents put a server's name before those of its tools.
TEST(ToolRequest, NamesMayBeLong) {
  const std::string name(128, 'a');
  const ToolRequest request =
      parse(R"("tools": [{"type": "function", "function": {"name": ")" + name + R"("}}])");
  EXPECT_EQ(request.tools->front().name, name);
}

TEST(ToolRequest, SuggestsTheNameThatWasMeant) {
  const ApiError error = refusal([] {
    parse(R"("tools": [{"type": "function", "function": {"name": "weather"}}],
             "tool_choice": {"type": "function", "function": {"name": "wether"}})");
  });
  EXPECT_NE(std::string(error.what()).find("did you mean weather?"), std::string::npos)
      << error.what();
}

}  // namespace
}  // namespace dms::serve
