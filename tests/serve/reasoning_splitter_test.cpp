#include "serve/reasoning_splitter.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

using Parts = ReasoningSplitter::Parts;

/// All of `text`, in pieces of `size` bytes.
Parts split(std::string_view text, size_t size, bool begins_inside = false) {
  ReasoningSplitter splitter(begins_inside);
  Parts all;
  const auto add = [&all](const Parts& parts) {
    all.reasoning += parts.reasoning;
    all.content += parts.content;
  };
  for (size_t at = 0; at < text.size(); at += size) add(splitter.push(text.substr(at, size)));
  add(splitter.finish());
  return all;
}

TEST(ReasoningSplitter, BordersOfPiecesDoNotMatter) {
  const std::string text = "\n<think>\nIs 2 < 3? </thin no.\n</think>\n\nYes: <think> is a tag.";
  for (size_t size = 1; size <= text.size(); ++size) {
    SCOPED_TRACE(size);
    const Parts parts = split(text, size);
    EXPECT_EQ(parts.reasoning, "Is 2 < 3? </thin no.\n");
    EXPECT_EQ(parts.content, "Yes: <think> is a tag.");
  }
}

TEST(ReasoningSplitter, ThePromptMayHaveOpenedTheTag) {
  for (size_t size = 1; size <= 8; ++size) {
    const Parts parts = split("\nHm.</think>Yes.", size, true);
    EXPECT_EQ(parts.reasoning, "Hm.");
    EXPECT_EQ(parts.content, "Yes.");
  }
}

TEST(ReasoningSplitter, WithoutATagAllIsContent) {
  for (const std::string_view text :
       {"Hello.", "  <b>Hello.", "<thin", "  ", "x<think>y</think>"}) {
    const Parts parts = split(text, 1);
    EXPECT_EQ(parts.content, text);
    EXPECT_EQ(parts.reasoning, "");
  }
}

TEST(ReasoningSplitter, ThoughtsThatAreCutShortStayThoughts) {
  const Parts parts = split("<think>Let me see </th", 3);
  EXPECT_EQ(parts.reasoning, "Let me see </th");
  EXPECT_EQ(parts.content, "");
}

TEST(ReasoningSplitter, HoldsBackNoMoreThanATagsBeginning) {
  ReasoningSplitter splitter(false);
  EXPECT_EQ(splitter.push("<think>a < b <").reasoning, "a < b ");
  EXPECT_EQ(splitter.push("/").reasoning, "");
  EXPECT_EQ(splitter.push("c").reasoning, "</c");
}

TEST(ReasoningSplitter, APromptOpensThoughtsByItsLastWord) {
  EXPECT_TRUE(opens_reasoning("<|assistant|><think>\n"));
  EXPECT_FALSE(opens_reasoning("<think>\n\n</think>\n\n"));
  EXPECT_FALSE(opens_reasoning("<think> about it"));
  EXPECT_FALSE(opens_reasoning(" \n"));
}

}  // namespace
}  // namespace dms::serve
