// RULER's tasks: what a prompt promises is in it, and it has the length asked for.

#include "tasks/ruler.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms::tasks {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// Words, and what stands between them: about what a tokenizer counts.
int64_t count_words(const std::string& text) {
  std::istringstream words(text);
  int64_t count = 0;
  for (std::string word; words >> word;) count += 1 + std::ssize(word) / 6;
  return count;
}

std::string essay_text() {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += "The traveller of day " + std::to_string(i) + " walked on, and saw little. ";
  }
  return text;
}

QuestionSet question_set() {
  QuestionSet set;
  for (int i = 0; i < 200; ++i) {
    set.documents.push_back("Town " + std::to_string(i) + " lies on the river number " +
                            std::to_string(1000 + i) + ".");
  }
  for (size_t i = 0; i < 20; ++i) {
    set.questions.push_back({.text = "On which river lies town " + std::to_string(i) + "?",
                             .answers = {std::to_string(1000 + i), "none"},
                             .documents = {i},
                             .related = {i + 1, i + 2}});
  }
  return set;
}

struct Sources {
  Haystack essay{essay_text()};
  QuestionSet questions = question_set();

  RulerSettings settings(int64_t length, uint64_t seed = 42) const {
    return {
        .length = length, .seed = seed, .essay = &essay, .squad = &questions, .hotpot = &questions};
  }
};

const Sources& sources() {
  static const Sources all;
  return all;
}

RulerPrompt make(const RulerTask& task, int64_t length, int64_t index = 0, uint64_t seed = 42) {
  return make_ruler_prompt(task, sources().settings(length, seed), index, count_words);
}

std::map<std::string, int64_t> frequencies(const std::string& text) {
  std::istringstream words(text);
  std::map<std::string, int64_t> counts;
  for (std::string word; words >> word;) ++counts[word];
  return counts;
}

class EveryRulerTask : public testing::TestWithParam<RulerTask> {};

INSTANTIATE_TEST_SUITE_P(Tasks,
                         EveryRulerTask,
                         testing::ValuesIn(ruler_tasks().begin(), ruler_tasks().end()),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(EveryRulerTask, IsTheSameForTheSameSeedAndIndex) {
  const RulerPrompt prompt = make(GetParam(), 1500);
  EXPECT_EQ(make(GetParam(), 1500).text(), prompt.text());
  EXPECT_EQ(make(GetParam(), 1500).answers, prompt.answers);
  EXPECT_NE(make(GetParam(), 1500, 1).text(), prompt.text());
  EXPECT_NE(make(GetParam(), 1500, 0, 7).text(), prompt.text());
}

TEST_P(EveryRulerTask, FillsTheLengthAndNoMore) {
  const RulerTask& task = GetParam();
  for (const int64_t length : {int64_t{600}, int64_t{1111}, int64_t{5000}}) {
    const RulerPrompt prompt = make(task, length, length);
    const int64_t tokens = count_words(prompt.text()) + task.answer_tokens;
    EXPECT_LE(tokens, length);
    // One more document, line or word of those that come often would not have fitted.
    const bool is_all = task.needs_questions && length == 5000;
    EXPECT_GT(tokens, is_all ? 0 : length - 140) << length;
  }
}

TEST_P(EveryRulerTask, HoldsItsAnswersBeforeTheQuestion) {
  const RulerTask& task = GetParam();
  for (int64_t index = 0; index < 10; ++index) {
    const RulerPrompt prompt = make(task, 1200, index, testing_support::seed());
    ASSERT_FALSE(prompt.answers.empty());
    int64_t found = 0;
    for (const std::string& answer : prompt.answers) {
      found += prompt.context.find(answer) != std::string::npos ? 1 : 0;
      // A common word may be one of the question's own.
      const bool is_asked = prompt.question.find(answer) != std::string::npos;
      EXPECT_TRUE(!is_asked || task.name == "cwe");
    }
    EXPECT_GE(found, task.metric == RulerMetric::any ? 1 : std::ssize(prompt.answers));
    std::string right;
    for (const std::string& answer : prompt.answers) right += answer + ", ";
    EXPECT_EQ(ruler_score(right, prompt.answers, task.metric), 1.0);
  }
}

TEST_P(EveryRulerTask, WithoutRoomIsRefused) {
  const std::string error = testing_support::input_error([] { make(GetParam(), 40); });
  testing_support::expect_parts(error, {"length", std::string(GetParam().name), "at least"});
}

const RulerTask& task(const char* name) { return find_ruler_task(name); }

TEST(RulerNeedles, AreAskedForInRulersWords) {
  const RulerPrompt one = make(task("niah_single_1"), 600);
  EXPECT_THAT(one.context,
              StartsWith("A special magic number is hidden within the following text. Make sure to "
                         "memorize it. I will quiz you about the number afterwards.\n"));
  EXPECT_THAT(one.context, HasSubstr("\nOne of the special magic numbers for "));
  EXPECT_THAT(one.context, HasSubstr(" is: " + one.answers.front() + ".\n"));
  EXPECT_THAT(one.question, StartsWith("What is the special magic number for "));
  EXPECT_THAT(one.answer_prefix, StartsWith(" The special magic number for "));
  EXPECT_THAT(one.answer_prefix, EndsWith(" mentioned in the provided text is"));
  EXPECT_EQ(one.answers.front().size(), 7u);
  const RulerPrompt many = make(task("niah_multiquery"), 600);
  EXPECT_THAT(many.context, StartsWith("Some special magic numbers are hidden within"));
  EXPECT_THAT(many.question, StartsWith("What are all the special magic numbers for "));
  EXPECT_THAT(many.question, HasSubstr(", and "));
  EXPECT_THAT(many.answer_prefix, EndsWith(" mentioned in the provided text are"));
}

TEST(RulerNeedles, HaveTheirNumbers) {
  const auto needles = [](const char* name) {
    const std::string text = make(task(name), 900).context;
    int64_t count = 0;
    for (size_t at = 0; (at = text.find("One of the special", at)) != std::string::npos; ++at)
      ++count;
    return count;
  };
  EXPECT_EQ(needles("niah_single_3"), 1);
  EXPECT_EQ(needles("niah_multikey_1"), 4);
  EXPECT_EQ(needles("niah_multivalue"), 4);
  EXPECT_EQ(needles("niah_multiquery"), 4);
  EXPECT_GT(needles("niah_multikey_2"), 20);
  EXPECT_EQ(make(task("niah_multivalue"), 900).answers.size(), 4u);
  EXPECT_EQ(make(task("niah_multiquery"), 900).answers.size(), 4u);
  const std::string uuid = make(task("niah_multikey_3"), 900).answers.front();
  EXPECT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_THAT("89ab", HasSubstr(std::string(1, uuid[19])));
}

TEST(RulerNeedles, TheKeyAskedForStandsOnce) {
  const std::string_view begin = "What is the special magic number for ";
  for (int64_t index = 0; index < 500; ++index) {
    const RulerPrompt prompt = make(task("niah_multikey_2"), 2500, index);
    const size_t end = prompt.question.find(" mentioned in");
    const std::string key = prompt.question.substr(begin.size(), end - begin.size());
    const std::string needle = "magic numbers for " + key + " is: ";
    const size_t found = prompt.context.find(needle + prompt.answers.front());
    ASSERT_NE(found, std::string::npos);
    EXPECT_EQ(prompt.context.find(needle), found) << index;
    EXPECT_EQ(prompt.context.rfind(needle), found) << index;
  }
}

TEST(RulerNeedles, LieAtTheDepthAskedFor) {
  for (const bool is_essay : {false, true}) {
    for (const double depth : {0.0, 0.5, 1.0}) {
      const RulerPrompt prompt =
          make_needle_prompt(sources().settings(1500), depth, is_essay, 4, 12, 0, count_words);
      EXPECT_EQ(prompt.answers.front().size(), 4u);
      const std::string haystack = prompt.context.substr(prompt.context.find('\n') + 1);
      const auto place = static_cast<double>(haystack.find("One of the special"));
      EXPECT_NEAR(place / static_cast<double>(haystack.size()), depth, 0.03) << is_essay;
    }
  }
}

TEST(RulerTracking, IsOneChainOfFourHops) {
  const RulerPrompt prompt = make(task("vt"), 1200, 3);
  ASSERT_EQ(prompt.answers.size(), 5u);
  const size_t begin = prompt.context.rfind("Memorize and track");
  const std::string hidden = prompt.context.substr(begin);
  size_t at = 0;
  for (size_t i = 0; i < prompt.answers.size(); ++i) {
    const std::string line =
        i == 0 ? "VAR " + prompt.answers[0] + " = "
               : "VAR " + prompt.answers[i] + " = VAR " + prompt.answers[i - 1] + " \n";
    const size_t found = hidden.find(line, at);
    ASSERT_NE(found, std::string::npos) << line;
    at = found;
  }
  EXPECT_THAT(prompt.answer_prefix, HasSubstr("5 variables are assigned the value "));
  // The solved example before it.
  EXPECT_THAT(prompt.context.substr(0, begin), HasSubstr("they are:  "));
  EXPECT_THAT(prompt.context.substr(0, begin), EndsWith("\n\n"));
}

TEST(RulerWords, AnswersAreTheMostFrequent) {
  for (const int64_t length : {int64_t{700}, int64_t{4500}}) {
    for (int64_t index = 0; index < 5; ++index) {
      const RulerPrompt common = make(task("cwe"), length, index);
      const size_t list = common.context.rfind("Below is a numbered list");
      auto counts = frequencies(common.context.substr(common.context.find('\n', list)));
      const int64_t expected = length < 4096 ? 6 : 30;
      for (const std::string& answer : common.answers) EXPECT_EQ(counts[answer], expected);
      EXPECT_EQ(
          std::ranges::count_if(counts, [&](const auto& word) { return word.second >= expected; }),
          std::ssize(common.answers));

      const RulerPrompt coded = make(task("fwe"), length, index);
      ASSERT_EQ(coded.answers.size(), 3u);
      const size_t begin =
          coded.context.find(". Find the three most frequently appeared coded words. ");
      counts = frequencies(coded.context.substr(coded.context.find("words. ", begin) + 7));
      EXPECT_GT(counts["..."], counts[coded.answers[0]]);
      EXPECT_GT(counts[coded.answers[0]], counts[coded.answers[1]]);
      EXPECT_GT(counts[coded.answers[1]], counts[coded.answers[2]]);
      const int64_t least = counts[coded.answers[2]];
      EXPECT_EQ(
          std::ranges::count_if(counts, [&](const auto& word) { return word.second >= least; }), 4);
    }
  }
}

TEST(RulerQuestions, ComeWithTheirDocumentsAndOthers) {
  const RulerPrompt prompt = make(task("qa_1"), 900, 3);
  EXPECT_THAT(prompt.context, HasSubstr("Document 1:\n"));
  EXPECT_THAT(prompt.context, HasSubstr("\n\nDocument 2:\n"));
  EXPECT_THAT(prompt.context, HasSubstr("Town 3 lies on the river number 1003."));
  EXPECT_THAT(prompt.context, HasSubstr("Town 4 lies"));
  EXPECT_THAT(prompt.question, EndsWith("Question: On which river lies town 3?"));
  EXPECT_EQ(make(task("qa_2"), 900, 23).question, make(task("qa_2"), 900, 3).question);
}

TEST(RulerQuestions, AreReadFromTheirDataSets) {
  const testing_support::TempFolder folder;
  const auto squad = folder.write("squad.json", R"({"data": [{"title": "t", "paragraphs": [
      {"context": "B is two.", "qas": [
        {"question": "What is B?", "is_impossible": false, "answers": [{"text": "two"}, {"text": "2"}]},
        {"question": "What is X?", "is_impossible": true, "answers": []}]},
      {"context": "A is one.", "qas": []}]}]})");
  const QuestionSet set = read_squad(squad);
  EXPECT_THAT(set.documents, testing::ElementsAre("A is one.", "B is two."));
  ASSERT_EQ(set.questions.size(), 1u);
  EXPECT_THAT(set.questions[0].answers, testing::ElementsAre("two", "2"));
  EXPECT_THAT(set.questions[0].documents, testing::ElementsAre(1u));
  EXPECT_THAT(set.questions[0].related, testing::ElementsAre(0u));

  const auto hotpot = folder.write(
      "hotpot.json",
      R"([{"question": "Q?", "answer": "yes", "context": [["T", ["One.", " Two."]]]}])");
  EXPECT_THAT(read_hotpot(hotpot).documents, testing::ElementsAre("T\nOne. Two."));
}

TEST(RulerQuestions, OfBadFilesAreRefused) {
  const testing_support::TempFolder folder;
  for (const char* text : {"[]",
                           "{}",
                           R"({"data": 1})",
                           R"({"data": [{"paragraphs": [{}]}]})",
                           R"([{"question": "Q?", "answer": "a", "context": [["T"]]}])",
                           "[3]",
                           "no"}) {
    const auto file = folder.write("bad.json", text);
    EXPECT_THROW(read_squad(file), InputError) << text;
    EXPECT_THROW(read_hotpot(file), InputError) << text;
  }
}

TEST(RulerScore, CountsReferencesInAnyCase) {
  const std::vector<std::string> both{"Alpha", "beta"};
  EXPECT_EQ(ruler_score("It is ALPHA.", both, RulerMetric::all), 0.5);
  EXPECT_EQ(ruler_score("alphabeta", both, RulerMetric::all), 1.0);
  EXPECT_EQ(ruler_score("", both, RulerMetric::all), 0.0);
  EXPECT_EQ(ruler_score("xbetay", both, RulerMetric::any), 1.0);
  EXPECT_EQ(ruler_score("gamma", both, RulerMetric::any), 0.0);
  EXPECT_EQ(ruler_score("al\x01pha", {"al\npha"}, RulerMetric::all), 1.0);
}

TEST(RulerTasks, AreThirteenAndKnownByName) {
  EXPECT_EQ(ruler_tasks().size(), 13u);
  const std::string error = testing_support::input_error([] { find_ruler_task("niah_singel_1"); });
  testing_support::expect_parts(error, {"tasks", "did you mean niah_single_1?"});
}

TEST(RulerHaystack, ComesRoundAgain) {
  const Haystack three(" one\n two\t three ");
  EXPECT_EQ(three.words(), 3);
  EXPECT_EQ(three.first(2), "one two");
  EXPECT_EQ(three.first(7), "one two three one two three one");
  EXPECT_EQ(Haystack("  \n").first(3), "The grass is");
  EXPECT_THAT(Haystack("Don't go: there, twice twice a1b2c Zed").vocabulary(),
              testing::ElementsAre("there", "twice"));
  EXPECT_THAT(Haystack("Traveller élan caf\u00e9s half-way, (so)far").vocabulary(),
              testing::ElementsAre("far", "half", "way"));
}

}  // namespace
}  // namespace dms::tasks
