#include "serve/tool_structure.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "serve/tool_fixture.h"

namespace dms::serve {
namespace {

using Choice = ToolRequest::Choice;

ToolRequest request(Choice choice, bool is_parallel = true) {
  return {.tools = testing_support::tools(),
          .choice = choice,
          .name = choice == Choice::named ? "add" : "",
          .is_parallel = is_parallel};
}

ToolRequest strict() {
  std::vector<Tool> list = *testing_support::tools();
  list[0].is_strict = true;
  return {.tools = std::make_shared<const std::vector<Tool>>(std::move(list)),
          .choice = Choice::automatic};
}

OrderedJson format(std::string_view form, const ToolRequest& request, bool thinks = false) {
  const auto structure = tool_structure(*find_tool_form(form), request, thinks);
  if (!structure) return nullptr;
  EXPECT_EQ(structure->kind, Structure::Kind::structural_tag);
  const OrderedJson json = OrderedJson::parse(structure->text);
  EXPECT_EQ(json["type"], "structural_tag");
  return json["format"];
}

/// Of a form for text in which calls are held to it, what comes behind thoughts.
OrderedJson text_format(std::string_view form, const ToolRequest& request) {
  const OrderedJson json = format(form, request);
  return json.is_null() ? json : json["elements"].back();
}

TEST(ToolStructure, AModelThatMayCallWritesWhatItLikes) {
  EXPECT_TRUE(format("hermes", request(Choice::automatic)).is_null());
  EXPECT_TRUE(format("hermes", {}).is_null());
}

TEST(ToolStructure, RequiredIsOneCallOrMoreOfAnyTool) {
  const OrderedJson json = format("hermes", request(Choice::required));
  EXPECT_EQ(json["type"], "tags_with_separator");
  EXPECT_EQ(json["at_least_one"], true);
  EXPECT_EQ(json["stop_after_first"], false);
  EXPECT_EQ(json["separator"], "\n");
  ASSERT_EQ(json["tags"].size(), 3U);
  const OrderedJson& tag = json["tags"][0];
  EXPECT_EQ(tag["begin"], "<tool_call>\n{\"name\": \"weather\", \"arguments\": ");
  EXPECT_EQ(tag["end"], "}\n</tool_call>");
  EXPECT_EQ(tag["content"]["json_schema"]["properties"]["days"]["type"], "integer");
  EXPECT_EQ(json["tags"][2]["content"]["json_schema"], OrderedJson({{"type", "object"}}));
  EXPECT_EQ(format("hermes", request(Choice::required, false))["stop_after_first"], true);
}

TEST(ToolStructure, ANamedToolIsCalledOnce) {
  const OrderedJson json = format("llama3_json", request(Choice::named));
  ASSERT_EQ(json["tags"].size(), 1U);
  EXPECT_EQ(json["tags"][0]["begin"], R"({"name": "add", "parameters": )");
  EXPECT_EQ(json["stop_after_first"], true);
}

TEST(ToolStructure, ListsHaveTheirBrackets) {
  const OrderedJson json = format("mistral", request(Choice::required));
  ASSERT_EQ(json["elements"].size(), 3U);
  EXPECT_EQ(json["elements"][0]["value"], "[TOOL_CALLS] [");
  EXPECT_EQ(json["elements"][1]["separator"], ", ");
  EXPECT_EQ(json["elements"][2]["value"], "]");
}

TEST(ToolStructure, StrictToolsAreHeldToTheirSchemasWhereTheyAreCalled) {
  const OrderedJson json = text_format("hermes", strict());
  EXPECT_EQ(json["type"], "triggered_tags");
  EXPECT_EQ(json["triggers"], OrderedJson::array({"<tool_call>"}));
  ASSERT_EQ(json["tags"].size(), 3U);
  EXPECT_TRUE(json["tags"][0]["content"]["json_schema"].contains("properties"));
  EXPECT_EQ(json["tags"][1]["content"]["json_schema"]["additionalProperties"], true);
  const OrderedJson list = text_format("smollm2", strict());
  ASSERT_EQ(list["tags"].size(), 1U);
  EXPECT_EQ(list["tags"][0]["begin"], "<tool_call>[");
  EXPECT_EQ(list["tags"][0]["content"]["tags"].size(), 3U);
}

/// Only what is strict is refused for what an answer is not held to.
TEST(ToolStructure, StrictIsSaidOfEachTool) {
  ToolRequest demanded = strict();
  demanded.choice = Choice::required;
  const OrderedJson tags = format("hermes", demanded)["tags"];
  EXPECT_EQ(tags[0]["content"]["strict"], true);
  EXPECT_EQ(tags[1]["content"]["strict"], false);
}

TEST(ToolStructure, AFormThatIsTooLongHoldsNoModelThatMayCallAtWill) {
  std::vector<Tool> list = *testing_support::tools();
  list[0].is_strict = true;
  list[0].parameters["description"] = std::string(kMostTagBytes, 'x');
  ToolRequest request{.tools = std::make_shared<const std::vector<Tool>>(std::move(list)),
                      .choice = Choice::automatic};
  EXPECT_TRUE(format("hermes", request).is_null());
  request.choice = Choice::required;
  EXPECT_FALSE(format("hermes", request).is_null());
}

/// xgrammar finds a tag by a trigger that it begins with.
TEST(ToolStructure, TagsBeginWithTheirTrigger) {
  for (const ToolForm& form : tool_forms()) {
    const OrderedJson json = text_format(form.name, strict());
    EXPECT_EQ(json.is_null(), !form.has_trigger) << form.name;
    if (json.is_null()) continue;
    for (const OrderedJson& tag : json["tags"]) {
      const auto begin = tag["begin"].get<std::string>();
      EXPECT_EQ(
          std::ranges::count_if(json["triggers"],
                                [&](const OrderedJson& trigger) {
                                  return begin.starts_with(trigger.get_ref<const std::string&>());
                                }),
          1)
          << form.name;
    }
  }
}

OrderedJson with_tags(std::string_view form, const std::vector<TokenTag>& tags) {
  const auto structure = tool_structure(*find_tool_form(form), request(Choice::named), false, tags);
  return OrderedJson::parse(structure->text)["format"];
}

/// A model that has a token for a tag does not spell its letters.
TEST(ToolStructure, TagsAreTokensWhereTheModelHasThem) {
  const OrderedJson hermes = with_tags(
      "hermes", {{.spelling = "<tool_call>", .id = 7}, {.spelling = "</tool_call>", .id = 8}});
  const OrderedJson& tag = hermes["tags"][0];
  EXPECT_EQ(tag["begin"], (OrderedJson{{"type", "token"}, {"token", 7}}));
  EXPECT_EQ(tag["end"], (OrderedJson{{"type", "token"}, {"token", 8}}));
  const OrderedJson& parts = tag["content"]["elements"];
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0]["value"], "\n{\"name\": \"add\", \"arguments\": ");
  EXPECT_EQ(parts[1]["type"], "json_schema");
  EXPECT_EQ(parts[2]["value"], "}\n");
  const OrderedJson mistral = with_tags(
      "mistral_args", {{.spelling = "[TOOL_CALLS]", .id = 5}, {.spelling = "[ARGS]", .id = 6}});
  EXPECT_EQ(mistral["tags"][0]["begin"]["token"], 5);
  EXPECT_EQ(mistral["tags"][0]["content"]["elements"][0]["value"], "add");
  EXPECT_EQ(mistral["tags"][0]["content"]["elements"][1]["token"], 6);
  EXPECT_EQ(mistral["tags"][0]["end"], "");
  const OrderedJson list = with_tags("smollm2", {{.spelling = "</tool_call>", .id = 8}});
  EXPECT_EQ(list["elements"][0]["value"], "<tool_call>[");
  EXPECT_EQ(list["elements"][2]["elements"][1]["token"], 8);
}

/// The model may begin a call with its token, or spell it.
TEST(ToolStructure, TokensBeginCallsInTextAsTheirLettersDo) {
  const std::vector<TokenTag> tags{{.spelling = "[TOOL_CALLS]", .id = 5},
                                   {.spelling = "[ARGS]", .id = 6},
                                   {.spelling = "<think>", .id = 9}};
  const auto structure = tool_structure(*find_tool_form("mistral_args"), strict(), false, tags);
  const OrderedJson whole = OrderedJson::parse(structure->text);
  const OrderedJson& text = whole["format"];
  const OrderedJson& tag = text["tags"][0];
  EXPECT_EQ(text["triggers"], OrderedJson::array({"[TOOL_CALLS]"}));
  EXPECT_EQ(tag["begin"], "[TOOL_CALLS]weather");
  EXPECT_EQ(tag["content"]["elements"][0], (OrderedJson{{"type", "token"}, {"token", 6}}));
  EXPECT_EQ(tag["content"]["elements"][1]["json_schema"]["properties"]["days"]["type"], "integer");
  ASSERT_EQ(whole["named"].size(), 3U);
  EXPECT_EQ(whole["named"][2], (OrderedJson{{"type", "token"}, {"token", 9}}));
  const OrderedJson phi =
      OrderedJson::parse(tool_structure(*find_tool_form("phi4"),
                                        strict(),
                                        false,
                                        {{.spelling = "<|tool_call|>", .id = 7},
                                         {.spelling = "<|/tool_call|>", .id = 8}})
                             ->text)["format"]["elements"][1];
  EXPECT_EQ(phi["tags"][0]["begin"], "<|tool_call|>[");
  EXPECT_EQ(phi["tags"][0]["end"]["token"], 8);
}

TEST(ToolStructure, ThoughtsAreFree) {
  const OrderedJson thoughts = format("hermes", strict())["elements"][0]["content"];
  EXPECT_EQ(thoughts["elements"][0]["value"], "<think>");
  EXPECT_EQ(thoughts["elements"][1]["rules"][0][0], "</think>");
  EXPECT_EQ(format("hermes", strict(), true)["type"], "triggered_tags");
}

TEST(ToolStructure, FormsThatAreReadTogetherAreHeldTogether) {
  const OrderedJson json = text_format("smollm3_python", strict());
  EXPECT_EQ(json["triggers"], OrderedJson::array({"<code>", "<tool_call>"}));
  ASSERT_EQ(json["tags"].size(), 4U);  // a list of code, and three functions by tags
  EXPECT_EQ(json["tags"][0]["begin"], "<code>\n");
  EXPECT_EQ(json["tags"][0]["content"]["tags"][0]["begin"], "weather(");
}

TEST(ToolStructure, ABlankLineMayFollowThoughts) {
  const auto structure = tool_structure(*find_tool_form("hermes"), request(Choice::required), true);
  ASSERT_TRUE(structure);
  EXPECT_EQ(structure->field, "tool_choice");
  const OrderedJson elements = OrderedJson::parse(structure->text)["format"]["elements"];
  ASSERT_EQ(elements.size(), 2U);
  EXPECT_EQ(elements[0]["content"]["value"], "\n\n");
  EXPECT_EQ(elements[1]["type"], "tags_with_separator");
}

}  // namespace
}  // namespace dms::serve
