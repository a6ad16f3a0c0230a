#include <gtest/gtest.h>

#include "dms/chat.h"
#include "dms/error.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

std::string rendered(std::string_view source, const ChatRequest& request) {
  return ChatTemplate(source, "t.jinja").render(request);
}

TEST(ChatTemplate, PutsMessagesIntoTheTemplate) {
  const std::string source =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}";
  ChatRequest request{.messages = {{.role = "system", .content = "Be brief."},
                                   {.role = "user", .content = "Hi \"you\"\n"}}};
  EXPECT_EQ(rendered(source, request), "<system>Be brief.<user>Hi \"you\"\n<assistant>");
  request.add_generation_prompt = false;
  EXPECT_EQ(rendered(source, request), "<system>Be brief.<user>Hi \"you\"\n");
}

TEST(ChatTemplate, PassesToolsAndTheirCallsThrough) {
  ChatRequest request{
      .messages = {{.role = "assistant",
                    .tool_calls =
                        R"([{"type": "function", "id": "c1", "function":
                           {"name": "look", "arguments": "{\"z\": 1, \"a\": [\"b\"]}"}},
                          {"function": {"name": "wait", "arguments": {"y": 2, "b": null}}},
                          {"function": {"name": "say", "arguments": "not { JSON"}}])"},
                   {.role = "tool",
                    .content = "a door",
                    .fields = R"({"tool_call_id": "c1", "name": "look"})"}},
      .tools = R"([{"type": "function", "function": {"name": "look", "b": 1, "a": 2}}])"};
  EXPECT_EQ(rendered("{{ tools | tojson }}", request),
            R"([{"type": "function", "function": {"name": "look", "b": 1, "a": 2}}])");
  const std::string source =
      "{% for m in messages %}{% for c in m.tool_calls or [] %}"
      "{{ c.function.name }} {{ c.function.arguments | tojson }};{% endfor %}{% endfor %}"
      "{{ messages[1].tool_call_id }} {{ messages[1].name }} {{ messages[1].content }}";
  EXPECT_EQ(rendered(source, request),
            R"(look {"z": 1, "a": ["b"]};wait {"y": 2, "b": null};say "not { JSON";)"
            "c1 look a door");
  request.tools.clear();
  EXPECT_EQ(rendered("{{ tools is none }} {{ messages[1].tool_calls is defined }}", request),
            "True False");
}

TEST(ChatTemplate, ToolsAreShownByTheTemplateThatIsForThem) {
  const TempFolder folder;
  folder.write("tokenizer_config.json",
               R"({"chat_template": [{"name": "tool_use", "template": "{{ tools | length }} tools"},
                                     {"name": "default", "template": "none"}]})");
  const ChatTemplate loaded = *ChatTemplate::load(folder.path());
  EXPECT_EQ(loaded.render({.messages = {}}), "none");
  EXPECT_EQ(loaded.render({.messages = {}, .tools = "[{}, {}]"}), "2 tools");
  EXPECT_EQ(loaded.source(), "{{ tools | length }} tools");
  EXPECT_EQ(ChatTemplate("a", "t.jinja").source(), "a");
}

TEST(ChatTemplate, TakesArgumentsAndOtherContent) {
  const ChatRequest request{
      .messages = {{.role = "user", .fields = R"({"content": [{"type": "text", "text": "Hi"}]})"}},
      .arguments = R"({"enable_thinking": false, "documents": [{"title": "T"}]})"};
  EXPECT_EQ(
      rendered("{{ enable_thinking }} {{ documents[0].title }} {{ messages[0].content[0].text "
               "}}",
               request),
      "False T Hi");
}

TEST(ChatTemplate, NamesWhatIsNoJson) {
  const auto error = [](const ChatRequest& request) {
    return input_error([&] { rendered("x", request); });
  };
  const ChatMessage good{.role = "user", .content = "Hi"};
  expect_parts(error({.messages = {good}, .tools = "{}"}), {"tools", "a JSON array"});
  expect_parts(error({.messages = {good}, .tools = "[1,"}), {"tools"});
  expect_parts(error({.messages = {good}, .arguments = "[]"}), {"arguments", "a JSON object"});
  expect_parts(error({.messages = {good}, .arguments = R"({"messages": 1})"}),
               {"arguments.messages", "is set by the request"});
  expect_parts(error({.messages = {good, {.role = "assistant", .tool_calls = "{}"}}}),
               {"messages[1].tool_calls", "a JSON array"});
  expect_parts(error({.messages = {{.role = "user", .fields = "3"}}}), {"messages[0].fields"});
  expect_parts(error({.messages = {good}, .tools = "[]", .arguments = R"({"tools": []})"}),
               {"arguments.tools"});
}

TEST(ChatTemplate, IsThatOfTheFolderWithItsSpecialTokens) {
  const TempFolder folder;
  EXPECT_FALSE(ChatTemplate::load(folder.path()));
  folder.write("tokenizer_config.json",
               R"({"chat_template": "{{ bos_token }}{{ messages[0].content }}",
                   "bos_token": "<s>"})");
  const ChatRequest request{.messages = {{.role = "user", .content = "Hi"}}};
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(request), "<s>Hi");
  EXPECT_EQ(ChatTemplate("{{ bos_token }}", "t", folder.path()).render(request), "<s>");
  EXPECT_EQ(ChatTemplate("{{ bos_token }}", "t").render(request), "");
  expect_parts(input_error([] { ChatTemplate("{% broken", "t.jinja"); }), {"t.jinja"});
}

TEST(ChatTemplate, GivesTheTokensOfItsText) {
  const Tokenizer tokenizer(kDemo);
  const ChatTemplate chat("{{ messages[0].content }}", "t.jinja");
  const std::string text = "It was a dark night";
  const RenderedChat whole =
      chat.render({.messages = {{.role = "user", .content = text}}}, tokenizer);
  EXPECT_EQ(whole.text, text);
  EXPECT_EQ(whole.ids, tokenizer.encode(text, false));
  std::string endless;
  for (int i = 0; i < 10000; ++i) endless += " night";
  const RenderedChat cut =
      chat.render({.messages = {{.role = "user", .content = endless}}}, tokenizer, 100);
  EXPECT_GT(cut.ids.size(), 100u);
  EXPECT_LT(cut.ids.size(), 200u) << "nothing is computed that is of no use";
}

}  // namespace
}  // namespace dms
