// Prompts that transformers rendered, for the published templates of three model families.

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "text/chat_template.h"

namespace dms::text {
namespace {

std::string render(const LoadedChatTemplate& loaded, const ChatJson& golden) {
  return loaded.chat_template.render({.messages = golden.at("messages"),
                                      .add_generation_prompt = golden.at("add_generation_prompt"),
                                      .kwargs = golden.value("template_kwargs", ChatJson::object()),
                                      .special_tokens = loaded.special_tokens});
}

void check(const LoadedChatTemplate& loaded, const ChatJson& golden) {
  SCOPED_TRACE(golden.at("case").get<std::string>());
  if (golden.contains("prompt")) {
    EXPECT_EQ(render(loaded, golden), golden.at("prompt").get<std::string>());
    return;
  }
  try {
    render(loaded, golden);
    ADD_FAILURE() << "transformers refuses this: " << golden.at("error");
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(golden.at("error").get<std::string>()));
  }
}

TEST(ChatTemplateGolden, EqualsTransformers) {
  const char* data = std::getenv("DMS_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "DMS_TEST_DATA is not set: no goldens";
  const std::filesystem::path folder = std::filesystem::path(data) / "tokenizers";
  std::ifstream goldens(folder / "goldens" / "chat.jsonl");
  ASSERT_TRUE(goldens) << "missing: " << folder / "goldens" / "chat.jsonl";
  std::map<std::string, LoadedChatTemplate> templates;
  int count = 0;
  for (std::string line; std::getline(goldens, line); ++count) {
    const ChatJson golden = parse_chat_json(line, "golden");
    const auto name = golden.at("template").get<std::string>();
    if (!templates.contains(name)) templates.emplace(name, *load_chat_template(folder / name));
    check(templates.at(name), golden);
  }
  EXPECT_GT(count, 100);
}

}  // namespace
}  // namespace dms::text
