#include "serve/shown_tools.h"

#include <string>

#include <gtest/gtest.h>

#include "base/json.h"

namespace dms::serve {
namespace {

const std::string kTools = R"([{"type":"function"}])";

ChatRequest chat(std::string arguments, std::string tools = kTools) {
  return {.messages = {}, .tools = std::move(tools), .arguments = std::move(arguments)};
}

std::string asked(std::string_view form, const std::string& arguments) {
  return std::string(asked_form(find_tool_form(form), chat(arguments))->name);
}

TEST(ShownTools, TheFormIsTheOneThatIsAskedFor) {
  EXPECT_EQ(asked_form(nullptr, chat("")), nullptr);
  EXPECT_EQ(asked("hermes", R"({"python_tools": true})"), "hermes");
  for (const char* arguments : {"",
                                "{}",
                                R"({"python_tools": null})",
                                R"({"python_tools": false})",
                                R"({"python_tools": []})",
                                R"({"python_tools": ""})",
                                R"({"xml_tools": ["f"]})"}) {
    EXPECT_EQ(asked("smollm3", arguments), "smollm3") << arguments;
  }
  for (const char* arguments :
       {R"({"python_tools": true})", R"({"python_tools": ["def f() -> int"]})"}) {
    EXPECT_EQ(asked("smollm3", arguments), "smollm3_python") << arguments;
  }
}

OrderedJson shown(const ChatRequest& request) {
  const ChatRequest given = with_shown_tools(request, find_tool_form("smollm3"));
  return {
      {"tools", given.tools},
      {"arguments", given.arguments.empty() ? OrderedJson() : OrderedJson::parse(given.arguments)}};
}

TEST(ShownTools, AreGivenAsTheArgumentThatTakesThem) {
  const OrderedJson list = OrderedJson::parse(kTools);
  EXPECT_EQ(shown(chat("")),
            (OrderedJson{{"tools", kTools}, {"arguments", {{"xml_tools", list}}}}));
  EXPECT_EQ(shown(chat(R"({"python_tools": true, "a": 1})")),
            (OrderedJson{{"tools", ""}, {"arguments", {{"a", 1}, {"python_tools", list}}}}));
  // What the request gives is shown as it is.
  const OrderedJson own =
      OrderedJson::parse(R"({"python_tools": ["def f() -> int"], "xml_tools": ["g"]})");
  EXPECT_EQ(shown(chat(own.dump())), (OrderedJson{{"tools", ""}, {"arguments", own}}));
  // Of none there are none.
  EXPECT_EQ(shown(chat(R"({"python_tools": true})", "")),
            (OrderedJson{{"tools", ""}, {"arguments", nullptr}}));
  EXPECT_EQ(shown(chat("", "")), (OrderedJson{{"tools", ""}, {"arguments", nullptr}}));
}

}  // namespace
}  // namespace dms::serve
