#include "serve/agent_lines.h"

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

TEST(AgentLines, AreLeftOut) {
  for (const char* line : {
           "x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;",
           "x-anthropic-billing-header: whatever else",
           "Today's date: 2026-11-29",
           "  Today's date: Sun Nov 29 2026",
           "Today's date is 2026-11-29.",
           "Today's date is Sunday, November 29, 2026 (formatted according to the user's locale).",
           "The current date is 2026-11-29 22:00:31.",
           "The current date is 2026-11-29T22:00:31+01:00.",
           "The current date is Sun, 29 Nov 2026 10:00 pm (UTC)",
           "Today's date: 29th of Sept. 2026 at 10PM CEST",
           "Conversation started: Sunday, November 29, 2026",
           "\tConversation started: Sunday, November 29, 2026\r",
       }) {
    EXPECT_EQ(without_agent_lines(line), "") << line;
    EXPECT_EQ(without_agent_lines(std::string("a\n") + line + "\nb\n"), "a\nb\n") << line;
  }
}

TEST(AgentLines, OtherLinesStayAsTheyAre) {
  for (const char* text : {
           "",
           "\n\n",
           "You are an agent.\r\n\nBe brief.",
           "Say x-anthropic-billing-header: to greet.",
           "Today's date: ask the tool",
           "Today's date is written on the 1st line; copy it into every file that you make, "
           "please.",
           "Today's date is {date} of 2026",
           "The current date is what `date` prints: 2026 or later",
           "The current dates are 1 and 2",
           "The current date is 2026-11-29. Always answer in JSON.",
           "Today's date is 2026-11-29. Never delete files",
           "Today's date is the 1st of May 2031 in this story. Stay in character.",
           "Today's date: 2026-11-29. Act.",
           "Today's date is 2026-11-29 (formatted as you like).",
           "Conversation started: by the user",
       }) {
    EXPECT_EQ(without_agent_lines(text), text);
  }
}

TEST(AgentLines, AreLookedForInSystemPromptsOnly) {
  const std::string date = "Today's date: 2026-11-29";
  ChatRequest chat{.messages = {{.role = "system", .content = date},
                                {.role = "system"},
                                {.role = "developer", .content = date + "\nBe brief."},
                                {.role = "user", .content = date},
                                {.role = "assistant", .content = date},
                                {.role = "tool", .content = date}}};
  strip_agent_lines(chat);
  ASSERT_EQ(chat.messages.size(), 5U);
  EXPECT_EQ(chat.messages[0].content, "");
  EXPECT_EQ(chat.messages[1].content, "Be brief.");
  for (size_t i = 2; i < 5; ++i) EXPECT_EQ(chat.messages[i].content, date);
}

}  // namespace
}  // namespace dms::serve
