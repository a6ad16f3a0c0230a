#include "cli/chat_prompt.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::ThrowsMessage;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

TEST(ChatPrompt, PlainFormNamesTheSpeakers) {
  const ChatPrompt prompt = ChatPrompt::make(kDemo, "plain");
  EXPECT_EQ(prompt.render({{.role = "system", .content = "Be brief."},
                           {.role = "user", .content = "Hi"},
                           {.role = "assistant", .content = "Hello."},
                           {.role = "user", .content = "Bye"}}),
            "System: Be brief.\nUser: Hi\nAssistant: Hello.\nUser: Bye\nAssistant:");
  EXPECT_THAT(prompt.stops(), Contains("\nUser:"));
  EXPECT_TRUE(prompt.adds_special_tokens());
}

TEST(ChatPrompt, SaysWhatToDoWithoutATemplate) {
  EXPECT_THAT([] { ChatPrompt::make(kDemo, ""); },
              ThrowsMessage<InputError>(HasSubstr("--template plain")));
}

TEST(ChatPrompt, NamesATemplateFileThatIsMissing) {
  EXPECT_THAT([] { ChatPrompt::make(kDemo, "/nowhere/x.jinja"); },
              ThrowsMessage<InputError>(HasSubstr("/nowhere/x.jinja")));
}

TEST(CommonPrefix, EndsAtTheFirstDifference) {
  const std::vector<int32_t> a{1, 2, 3};
  EXPECT_EQ(common_prefix(a, std::vector<int32_t>{1, 2, 4, 5}), 2);
  EXPECT_EQ(common_prefix(a, std::vector<int32_t>{1, 2, 3, 4}), 3);
  EXPECT_EQ(common_prefix(a, std::vector<int32_t>{1}), 1);
  EXPECT_EQ(common_prefix({}, a), 0);
}

}  // namespace
}  // namespace dms::cli
