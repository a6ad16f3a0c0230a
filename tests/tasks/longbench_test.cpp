// LongBench's scores and prompts. tests/python/test_longbench.py holds them against a reference.

#include "tasks/longbench.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "tasks/longbench_scores.h"

namespace dms::tasks {
namespace {

TEST(LongBenchScores, ByHand) {
  EXPECT_DOUBLE_EQ(word_f1("The cat, sat!", "a CAT sat down"), 2 * 1.0 * (2.0 / 3) / (5.0 / 3));
  EXPECT_DOUBLE_EQ(word_f1("cat cat", "cat"), 2 * 0.5 / 1.5);
  EXPECT_EQ(word_f1("", "cat"), 0);
  EXPECT_EQ(word_f1("the", "the"), 0);                              // nothing is left of either
  EXPECT_EQ(word_f1("ÉCOLE\u00a0ΛΟΓΟΣ\x1fΣ", "école λογος σ"), 1);  // final sigmas, blanks
  EXPECT_EQ(word_f1("cat—the—cat", "cat— —cat"), 1);  // an article ends where no letter follows
  EXPECT_EQ(word_f1("thé an_a", "thé ana"), 1);       // the underscore is punctuation
  EXPECT_DOUBLE_EQ(rouge_l("one two. three", "one two. three"), 1);
  EXPECT_EQ(rouge_l(". .", "one"), 0);
  EXPECT_DOUBLE_EQ(rouge_l("a", "a b c"), 2 * (1.0 / 3) / (4.0 / 3));  // F1, of neither side more
  EXPECT_DOUBLE_EQ(rouge_l("a. ", "a"), 2 * 0.5 / 1.5);  // blanks are a sentence of one word
  // Of "a b c" and "a c b" two words in order, whichever: recall and precision are 2/3.
  EXPECT_NEAR(rouge_l("a c b", "a b c"), 2.0 / 3, 1e-12);
  EXPECT_DOUBLE_EQ(segmented_f1("北京 大学 ， ＡB 《 .", "《 ａb 的 大学》 。"), 0.75);
  EXPECT_EQ(segmented_f1("， 。", "。 ，"), 0);  // nothing is left of either
  const std::vector<std::string> classes{"Price", "Price of food", "Date"};
  EXPECT_EQ(class_score("Date", "Date", classes), 1);
  EXPECT_EQ(class_score("Date or Price of food", "Date", classes), 1.0 / 3);
  EXPECT_EQ(class_score("Price of food", "Price of food", classes), 1);  // not of its part as well
  EXPECT_EQ(class_score("Price", "Date", classes), 0);
  EXPECT_EQ(number_score("Paragraph 7, not 70 or 7", "Paragraph 7"), 2.0 / 3);
  EXPECT_EQ(number_score("none", "3"), 0);
  EXPECT_EQ(number_score("是段落7。", "段落7"), 1);
  EXPECT_EQ(code_similarity("\n```python\n# next\nreturn x\ny = 2", "return x"), 1);
  EXPECT_EQ(code_similarity("abcd", "abxd"), 0.75);
  EXPECT_EQ(code_similarity("# only", "x"), 0);
  EXPECT_EQ(code_similarity("äb", "äc"), 0.5);
}

TEST(LongBench, APromptLosesItsMiddle) {
  const LongBenchTask& task = find_longbench_task("hotpotqa");
  const LongBenchRecord record{.input = "Who?",
                               .context = "BEGIN" + std::string(1000, 'x') + "éND",
                               .answers = {"me"},
                               .classes = {}};
  const CountTokens count = [](const std::string& text) { return std::ssize(text); };
  const RulerPrompt whole = make_longbench_prompt(task, record, 5000, count);
  EXPECT_NE(whole.text().find(record.context), std::string::npos);
  const RulerPrompt cut = make_longbench_prompt(task, record, 300, count);
  EXPECT_LE(std::ssize(cut.text()), 300);
  EXPECT_GE(std::ssize(cut.text()), 299);
  EXPECT_NE(cut.text().find("Passages:\nBEGINx"), std::string::npos);
  EXPECT_NE(cut.text().find("xéND\n\nQuestion: Who?\nAnswer:"), std::string::npos);
  testing_support::expect_parts(
      testing_support::input_error([&] { make_longbench_prompt(task, record, 50, count); }),
      {"--lengths", "too short", "hotpotqa", "at least"});
}

TEST(LongBench, TasksByWordsAreScoredByTheDividedReferences) {
  const LongBenchRecord record{.input = "问",
                               .context = "文",
                               .answers = {"北京大学"},
                               .classes = {},
                               .answer_words = {"北京 大学", "上海"}};
  EXPECT_EQ(longbench_score(find_longbench_task("multifieldqa_zh"), record, "上海 。"), 1);
  EXPECT_EQ(longbench_score(find_longbench_task("dureader"), record, "大学"), 2.0 / 3);
  EXPECT_EQ(longbench_score(find_longbench_task("vcsum"), record, "北京大学"), 0);
}

TEST(LongBench, WhatIsWrongIsSaidWithItsLine) {
  const testing_support::TempFolder folder;
  const auto refusal = [&](const std::string& text) {
    const auto file = folder.write("hotpotqa.jsonl", text);
    return testing_support::input_error([&] { read_longbench(file, 10); });
  };
  const std::string good = R"({"input": "q", "context": "c", "answers": ["a"]})";
  EXPECT_EQ(read_longbench(folder.write("a.jsonl", good + "\n\n" + good + "\n"), 1).size(), 1U);
  EXPECT_EQ(read_longbench(folder.write("a.jsonl", good + "\n\n" + good), 9).size(), 2U);
  testing_support::expect_parts(refusal(""), {"hotpotqa.jsonl", "no record"});
  testing_support::expect_parts(refusal(good + "\n{"), {"hotpotqa.jsonl:2"});
  testing_support::expect_parts(refusal(R"({"input": "q", "answers": ["a"]})"),
                                {"hotpotqa.jsonl:1", "context"});
  testing_support::expect_parts(refusal(R"({"input": "q", "context": "c", "answers": []})"),
                                {"hotpotqa.jsonl:1: answers"});
  testing_support::expect_parts(
      testing_support::input_error([] { find_longbench_task("hotpottqa"); }),
      {"--tasks", "did you mean hotpotqa?"});
}

}  // namespace
}  // namespace dms::tasks
