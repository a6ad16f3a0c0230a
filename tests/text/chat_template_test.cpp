#include "text/chat_template.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::text {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

/// A folder that is gone at the end of the test.
class ChatTemplateFolder : public testing::Test {
 protected:
  ChatTemplateFolder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("dms-chat-") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~ChatTemplateFolder() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  std::string render() const {
    const std::optional<LoadedChatTemplate> loaded = load_chat_template(folder_);
    if (!loaded) return "no template";
    return loaded->chat_template.render({.special_tokens = loaded->special_tokens});
  }

  std::string error() const {
    try {
      render();
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }

  fs::path folder_;
};

TEST_F(ChatTemplateFolder, HasNoTemplateWithoutAnyFile) { EXPECT_EQ(render(), "no template"); }

TEST_F(ChatTemplateFolder, ToolsMayHaveATemplateOfTheirOwn) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "default", "template": "plain"},
                              {"name": "tool_use", "template": "tools"}]})");
  EXPECT_EQ(load_chat_template(folder_)->tool_template->source(), "tools");
  write("chat_template.jinja", "file");
  EXPECT_FALSE(load_chat_template(folder_)->tool_template.has_value());
  fs::create_directory(folder_ / "additional_chat_templates");
  write("additional_chat_templates/tool_use.jinja", "tools file");
  EXPECT_EQ(load_chat_template(folder_)->tool_template->source(), "tools file");
  EXPECT_EQ(render(), "file");
}

TEST_F(ChatTemplateFolder, RefusesFilesThatCannotBeLookedUp) {
  for (const char* name : {"special_tokens_map.json",
                           "chat_template.jinja",
                           "chat_template.json",
                           "tokenizer_config.json"}) {
    write("tokenizer_config.json", R"({"chat_template": "x"})");
    if (std::string(name) == "chat_template.json") fs::remove(folder_ / "tokenizer_config.json");
    fs::remove(folder_ / name);
    fs::create_symlink(name, folder_ / name);  // to itself
    EXPECT_THAT(error(), AllOf(HasSubstr(name), HasSubstr("cannot be read")));
    fs::remove(folder_ / name);
  }
}

TEST_F(ChatTemplateFolder, ReadsTheTokenizerConfig) {
  write("tokenizer_config.json",
        R"({"chat_template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}",
            "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
            "pad_token": null})");
  EXPECT_EQ(render(), "<s>|</s>|");
}

TEST_F(ChatTemplateFolder, TakesTheDefaultOfSeveralTemplates) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                              {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(render(), "plain");
}

TEST_F(ChatTemplateFolder, PrefersTheTemplatesOwnFile) {
  write("tokenizer_config.json", R"({"chat_template": "old", "bos_token": "<s>"})");
  write("chat_template.jinja", "new {{ bos_token }}\n");
  EXPECT_EQ(render(), "new <s>");
}

TEST_F(ChatTemplateFolder, ReadsProcessorsFileAndTokensMap) {
  write("chat_template.json", R"({"chat_template": "{{ bos_token }}"})");
  write("special_tokens_map.json", R"({"bos_token": {"content": "[B]"}})");
  EXPECT_EQ(render(), "[B]");
}

TEST_F(ChatTemplateFolder, KnowsItsSpecialTokensWithoutATemplate) {
  write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  write("special_tokens_map.json", R"({"eos_token": "other", "pad_token": "<pad>"})");
  EXPECT_EQ(render(), "no template");
  EXPECT_THAT(
      load_special_tokens(folder_),
      ElementsAre(Pair("bos_token", "<s>"), Pair("eos_token", "</s>"), Pair("pad_token", "<pad>")));
}

TEST_F(ChatTemplateFolder, NamesTheFileThatIsWrong) {
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json: chat_template: bad value"));
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json: chat_template: bad value"));
  write("tokenizer_config.json", "[]");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json: bad file"));
  write("tokenizer_config.json", R"({"chat_template": "a\n{% oops %}"})");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json: line 2: unsupported statement 'oops'"));
}

TEST(ChatTemplate, PassesToolsAndArgumentsInTheirOrder) {
  const ChatTemplate chat("{{ tools | tojson }} {{ x }} {{ documents is none }}", "t");
  EXPECT_EQ(chat.render({.kwargs = ChatJson::parse(R"({"tools": [{"b": 1, "a": "é"}], "x": 2})")}),
            R"([{"b": 1, "a": "é"}] 2 True)");
}

TEST(ChatTemplate, GivesReasoningUnderAllItsNames) {
  const ChatTemplate chat("{{ messages[0] }}", "t");
  EXPECT_EQ(chat.render({.messages = ChatJson::parse(R"([{"role": "a", "reasoning": "r"}])")}),
            "{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}");
}

TEST(ChatTemplate, RefusesMessagesThatAreNotObjects) {
  const ChatTemplate chat("x", "t");
  EXPECT_THROW(chat.render({.messages = ChatJson::parse("[1]")}), InputError);
  EXPECT_THROW(chat.render({.messages = ChatJson::parse("{}")}), InputError);
  EXPECT_THROW(chat.render({.kwargs = ChatJson::parse("[]")}), InputError);
}

TEST(ChatTemplate, RaisesTheTemplatesOwnMessage) {
  const ChatTemplate chat("{{ raise_exception('Roles must alternate') }}", "file");
  try {
    chat.render({});
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "file: Roles must alternate");
  }
}

}  // namespace
}  // namespace dms::text
