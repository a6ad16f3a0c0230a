#include "cli/chat_prompt.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::ThrowsMessage;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

TEST(ChatPrompt, PlainFormNamesTheSpeakers) {
  const ChatPrompt prompt = ChatPrompt::make(kDemo, {.chat_template = "plain"});
  EXPECT_EQ(prompt.render({{.role = "system", .content = "Be brief."},
                           {.role = "user", .content = "Hi"},
                           {.role = "assistant", .content = "Hello."},
                           {.role = "user", .content = "Bye"}}),
            "System: Be brief.\nUser: Hi\nAssistant: Hello.\nUser: Bye\nAssistant:");
  EXPECT_THAT(prompt.stops(), Contains("\nUser:"));
  EXPECT_TRUE(prompt.adds_special_tokens());
}

TEST(ChatPrompt, SaysWhatToDoWithoutATemplate) {
  EXPECT_THAT([] { ChatPrompt::make(kDemo, {}); },
              ThrowsMessage<InputError>(HasSubstr("--template plain")));
}

TEST(ChatPrompt, NamesATemplateFileThatIsMissing) {
  EXPECT_THAT([] { ChatPrompt::make(kDemo, {.chat_template = "/nowhere/x.jinja"}); },
              ThrowsMessage<InputError>(HasSubstr("/nowhere/x.jinja")));
}

/// A prompt for a folder with these files, of which t.jinja is given as --template.
std::string rendered(const std::map<std::string, std::string>& files,
                     const std::vector<std::string>& arguments = {}) {
  const TempFolder folder;
  for (const auto& [name, text] : files) folder.write(name, text);
  const ChatPrompt prompt = ChatPrompt::make(
      folder.path(),
      {.chat_template = (folder.path() / "t.jinja").string(), .template_args = arguments});
  return prompt.render("", "Hi");
}

TEST(ChatPrompt, GivesATemplateFileTheFoldersSpecialTokens) {
  const std::string source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";
  const std::string config = R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})";
  EXPECT_EQ(rendered({{"t.jinja", source}, {"tokenizer_config.json", config}}), "<s>Hi</s>");
  EXPECT_EQ(rendered({{"t.jinja", source}, {"special_tokens_map.json", config}}), "<s>Hi</s>");
  EXPECT_EQ(rendered({{"t.jinja", source}}), "Hi");
}

TEST(ChatPrompt, NeedsNothingOfATemplateThatAnotherReplaces) {
  EXPECT_EQ(rendered({{"t.jinja", "mine"}, {"chat_template.jinja", "{% broken"}}), "mine");
}

TEST(ChatPrompt, PassesArgumentsAsJsonOrText) {
  const std::string source = "{{ x is false }} {{ n + 1 }} {{ t }} {{ l[1] }} {{ e == '' }}";
  const std::vector<std::string> arguments{"x=false", "n=2", "t=a=b", "l=[1, {\"k\": 2}]", "e="};
  EXPECT_EQ(rendered({{"t.jinja", source}}, arguments), "True 3 a=b {'k': 2} True");
  EXPECT_EQ(rendered({{"t.jinja", "{{ n }}"}}, {"n=1", "n=two"}), "two");
  EXPECT_EQ(rendered({{"t.jinja", "{{ bos_token }}"}}, {"bos_token=[B]"}), "[B]");
}

TEST(ChatPrompt, RefusesArgumentsThatAreNone) {
  const auto error = [](const std::string& argument) {
    return input_error([&] { rendered({{"t.jinja", "x"}}, {argument}); });
  };
  expect_parts(error("thinking"), {"--template-arg", "got 'thinking'", "KEY=VALUE"});
  expect_parts(error("=1"), {"--template-arg", "KEY=VALUE"});
  expect_parts(error("messages=[]"), {"--template-arg", "'messages' is set by the conversation"});
  EXPECT_THAT([] { ChatPrompt::make(kDemo, {.chat_template = "plain", .template_args = {"x=1"}}); },
              ThrowsMessage<InputError>(HasSubstr("plain form takes no arguments")));
}

}  // namespace
}  // namespace dms::cli
