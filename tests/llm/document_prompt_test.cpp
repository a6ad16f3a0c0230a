// What a document is made of, as its file says it, and where a conversation's beginning ends.

#include "dms/document_prompt.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/errors.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

constexpr const char* kMessages =
    R"([{"role":"system","content":"a\u0000b"},)"
    R"({"role":"user","content":[{"type":"text","text":"look"}],"name":"z"},)"
    R"({"role":"assistant","content":"","tool_calls":[{"z":1,"a":{"y":2,"b":3}}]}])";

TEST(DocumentNote, ComesBackAsItWas) {
  EXPECT_TRUE(read_note(write_note({.created = 17}), "f").messages.empty());
  const DocumentNote note{.messages = messages_of_json(kMessages, "m"), .created = 17};
  const DocumentNote read = read_note(write_note(note), "f");
  EXPECT_EQ(read.created, 17);
  ASSERT_EQ(read.messages.size(), 3u);
  EXPECT_EQ(read.messages[0].role, "system");
  EXPECT_EQ(read.messages[0].content, std::string("a\0b", 3));
  EXPECT_EQ(read.messages[1].fields, R"({"content":[{"type":"text","text":"look"}],"name":"z"})");
  EXPECT_EQ(read.messages[2].tool_calls, R"([{"z":1,"a":{"y":2,"b":3}}])")
      << "keys keep their order";
  EXPECT_EQ(json_of_messages(read.messages), json_of_messages(note.messages));
}

TEST(DocumentNote, OfAStrangerIsRefused) {
  for (const char* bad : {"",
                          "[]",
                          "{",
                          R"({"created": "x", "messages": null})",
                          R"({"created": -1, "messages": null})",
                          R"({"created": 1.5, "messages": null})",
                          R"({"created": 1})",
                          R"({"created": 1, "messages": 5})",
                          R"({"created": 1, "messages": ["x"]})",
                          R"({"created": 1, "messages": [{"content": "x"}]})",
                          R"({"created": 1, "messages": [{"role": "user"}]})"}) {
    expect_parts(input_error([&] { read_note(bad, "night.dmsdoc"); }), {"night.dmsdoc"});
  }
  EXPECT_THROW(read_note(R"({"created": 1, "messages": )" + std::string(100'000, '['), "f"),
               InputError);
}

/// A token a character.
RenderedChat spelled(const std::string& text) {
  return {.text = text, .ids = {text.begin(), text.end()}};
}

std::string joined(const std::vector<ChatMessage>& messages) {
  std::string text;
  for (const ChatMessage& message : messages) text += message.role + ":" + message.content + ";";
  return text;
}

TEST(CommonBeginning, EndsBeforeWhatTheQuestionChanges) {
  const std::vector<ChatMessage> messages{{.role = "system", .content = " Be brief.\n"}};
  const auto ids = common_beginning(
      messages, [](const auto& talk) { return spelled(joined(talk) + "assistant:"); });
  EXPECT_EQ(std::string(ids.begin(), ids.end()), "system: Be brief.\n;user:");
}

TEST(CommonBeginning, OfATemplateThatWritesThemLaterIsRefused) {
  const std::vector<ChatMessage> messages{{.role = "system", .content = "Be brief."}};
  const auto backwards = [](const std::vector<ChatMessage>& talk) {
    return spelled(talk.back().content + joined(talk));
  };
  expect_parts(input_error([&] { common_beginning(messages, backwards); }),
               {"messages", "does not write them first"});
  const auto silent = [](const std::vector<ChatMessage>&) { return spelled("always the same"); };
  EXPECT_THROW(common_beginning(messages, silent), InputError);
}

TEST(RequireBeginning, WantsAllOfTheDocumentAndMore) {
  const std::vector<int32_t> document{1, 2};
  EXPECT_NO_THROW(require_beginning(document, std::vector<int32_t>{1, 2, 3}));
  for (const std::vector<int32_t>& prompt :
       {std::vector<int32_t>{}, {1}, {1, 2}, {1, 3, 2}, {2, 1, 2}}) {
    expect_parts(input_error([&] { require_beginning(document, prompt); }),
                 {"document", "does not begin with the document"});
  }
}

}  // namespace
}  // namespace dms
