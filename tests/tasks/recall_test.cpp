// What a recall task writes, whatever text is around it.

#include "tasks/recall.h"

#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::tasks {
namespace {

std::string filler(int sentences) {
  std::string text;
  for (int i = 0; i < sentences; ++i) text += "Sentence " + std::to_string(i) + " went by\u00e9. ";
  return text;
}

int64_t words_in(const std::string& text) {
  return std::ranges::count(text, ' ') + std::ranges::count(text, '\n') + 1;
}

TEST(Recall, AnswersAreFactsThatTheTextHolds) {
  const RecallSettings settings{.needles = {3, 5}, .queries = {2, 9}, .uuid_share = 0.3};
  std::set<int64_t> asked;
  for (int64_t index = 0; index < 200; ++index) {
    Random random(testing_support::seed(), "task", index);
    const RecallTask task(settings, random);
    const WrittenRecall written = task.write(filler(40));
    asked.insert(std::ssize(written.answers));
    EXPECT_EQ(written.answers.back().end, written.text.size());
    for (const ByteSpan& span : written.answers) {
      const std::string answer = written.text.substr(span.begin, span.end - span.begin);
      ASSERT_TRUE(answer.starts_with(' ') && answer.ends_with('.')) << answer;
      const std::string value = answer.substr(1, answer.size() - 2);
      EXPECT_LT(written.text.find(value), written.answers.front().begin) << written.text;
    }
  }
  EXPECT_EQ(asked, (std::set<int64_t>{2, 3, 4, 5}));
}

TEST(Recall, IsTheSameForTheSameStream) {
  Random one(7, "task");
  Random other(7, "task");
  const std::string text = filler(20);
  EXPECT_EQ(RecallTask({}, one).write(text).text, RecallTask({}, other).write(text).text);
  EXPECT_NE(RecallTask({}, one).write(text).text, RecallTask({}, one).write(text).text);
}

TEST(Recall, TakesAsMuchTextAsFits) {
  for (int64_t index = 0; index < 50; ++index) {
    Random random(testing_support::seed(), "fit", index);
    const RecallTask task({.needles = {2, 2}}, random);
    const int64_t bare = words_in(task.write({}).text);
    EXPECT_EQ(task.write_within(bare - 5, filler(100), words_in).text, task.write({}).text);
    for (const int64_t limit : {bare, bare + 1, bare + 40, int64_t{300}}) {
      const int64_t words = words_in(task.write_within(limit, filler(100), words_in).text);
      EXPECT_LE(words, std::max(limit, bare));
      EXPECT_GE(words, limit - 30);
    }
  }
}

}  // namespace
}  // namespace dms::tasks
