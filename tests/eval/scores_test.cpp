// What is made of logits, answers and records.

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/divergence.h"
#include "eval/held_mean.h"
#include "eval/rendered.h"
#include "eval/step.h"
#include "eval/task_eval.h"
#include "eval/text_eval.h"
#include "support/seed.h"

namespace dms::eval {
namespace {

using testing::HasSubstr;

std::vector<double> softmax(const std::vector<float>& logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<double> shares;
  for (const float logit : logits) shares.push_back(std::exp(static_cast<double>(logit)) / sum);
  return shares;
}

TEST(Divergence, IsTheSumOverTheVocabulary) {
  std::mt19937_64 random(testing_support::seed());
  std::normal_distribution<float> normal(0, 3);
  for (const size_t vocab : {1u, 2u, 7u, 1000u}) {
    std::vector<float> p(vocab);
    std::vector<float> q(vocab);
    for (float& logit : p) logit = normal(random);
    for (float& logit : q) logit = normal(random);
    double expected = 0;
    for (size_t i = 0; i < vocab; ++i) {
      expected += softmax(p)[i] * std::log(softmax(p)[i] / softmax(q)[i]);
    }
    const Divergence found = divergence(p, q);
    EXPECT_NEAR(found.kld, expected, 1e-12 + 1e-12 * expected);
    const bool is_same =
        std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
    EXPECT_EQ(found.has_same_choice, is_same);
    EXPECT_EQ(divergence(p, p).kld, 0.0);
    EXPECT_TRUE(divergence(p, p).has_same_choice);
  }
}

KvStats held(int64_t dense, int64_t each_head, int64_t bytes) {
  KvStats kv;
  kv.dense_tokens = 2 * dense;
  kv.held_tokens = 2 * each_head;
  kv.dense_bytes = 100 * dense;
  kv.allocated_bytes = bytes;
  kv.held_per_head = {{each_head}, {each_head}};
  return kv;
}

TEST(HeldMean, WeighsPassesByWhatTheyScore) {
  const KvStats start = held(100, 50, 5000);
  const KvStats grown = held(140, 90, 9000);
  const KvStats cut = held(160, 60, 6000);  // 110 before the policy ranked them
  for (const bool holds_all : {false, true}) {
    HeldMean mean(holds_all);
    mean.add(start, grown, 40);
    mean.add(grown, cut, 20);
    const int64_t each = holds_all ? 80 : 72;  // (40 * 70 + 20 * 100 or 75) / 60
    const int64_t bytes = holds_all ? 8000 : 7167;
    EXPECT_EQ(mean.mean().held_tokens, holds_all ? 160 : 143);
    EXPECT_EQ(mean.mean().dense_tokens, 260);
    EXPECT_EQ(mean.mean().allocated_bytes, bytes);
    EXPECT_THAT(mean.mean().held_per_head,
                testing::ElementsAre(testing::ElementsAre(each), testing::ElementsAre(each)));
  }
  EXPECT_EQ(HeldMean(true).mean().held_tokens, 0);
}

TEST(HeldMean, GrowsByEntriesAloneWhereAPolicyHoldsFew) {
  const KvStats before = held(140, 10, 9000);  // most of it statistics and windows
  const KvStats cut = held(160, 10, 9000);     // 30 before the policy ranked them
  HeldMean mean(true);
  mean.add(before, cut, 20);
  EXPECT_EQ(mean.mean().held_tokens, 40);
  EXPECT_EQ(mean.mean().allocated_bytes, 10000);  // 40 entries of 50 bytes more, by the end
  EXPECT_EQ(mean.peak_bytes(), 11000);
}

TEST(Divergence, SurvivesWhatOverflowsOrCannotCome) {
  const float never = -std::numeric_limits<float>::infinity();
  const std::vector<float> p{1000.0f, 999.0f, never};
  const std::vector<float> q{-2000.0f, -2001.0f, never};
  EXPECT_NEAR(divergence(p, q).kld, 0.0, 1e-12);
  EXPECT_GT(divergence(p, std::vector<float>{999.0f, 1000.0f, 0.0f}).kld, 0.1);
}

TEST(AnswerScore, BeginsRightIsTheWholeValueAtTheBeginning) {
  const auto score = [](const char* answer) {
    return score_answer(answer, {"1234"}, AnswerRule::begins_right);
  };
  EXPECT_EQ(score(" 1234."), 1.0);
  EXPECT_EQ(score("\n1234"), 1.0);
  EXPECT_EQ(score("1234 and 5"), 1.0);
  EXPECT_EQ(score(": \"1234\""), 1.0);
  EXPECT_EQ(score("12345"), 0.0);
  EXPECT_EQ(score("1234x"), 0.0);
  EXPECT_EQ(score("is 1234"), 0.0);
  EXPECT_EQ(score(""), 0.0);
}

TEST(AnswerScore, EndsWhenNothingCanChangeIt) {
  const auto decided = [](const char* answer, AnswerRule rule) {
    return is_decided(answer, {"1234"}, rule);
  };
  EXPECT_FALSE(decided(" 1234", AnswerRule::begins_right));  // a digit may follow
  EXPECT_FALSE(decided(":\n- 1234", AnswerRule::begins_right));
  EXPECT_TRUE(decided(" 1234.", AnswerRule::begins_right));
  EXPECT_TRUE(decided(" 99999", AnswerRule::begins_right));
  EXPECT_FALSE(decided("999999999", AnswerRule::all_given));
  EXPECT_TRUE(decided("91234", AnswerRule::all_given));
  EXPECT_FALSE(is_decided("a", {"a", "b"}, AnswerRule::all_given));
  EXPECT_TRUE(is_decided("a", {"a", "b"}, AnswerRule::any_given));
}

TEST(EvalStep, SaysHowLongItTakesYet) {
  EXPECT_EQ(step_text({.what = "dms", .done = 25, .total = 100}, 60), "25%, 3m00s left: dms");
  EXPECT_EQ(step_text({.what = "dms", .done = 99, .total = 100}, 99), "99%, 1s left: dms");
  EXPECT_EQ(step_text({.what = "dms", .done = 1, .total = 101}, 60), "1%, 1h40m left: dms");
  EXPECT_EQ(step_text({.what = "dms", .done = 0, .total = 100}, 60), "0%: dms");
}

Record window_record(double nll, double kld, double scored, double before) {
  return {.numbers = {{"nll", nll},
                      {"kld", kld},
                      {"scored", scored},
                      {"same", scored / 2},
                      {"before_divergence", before},
                      {"dense_tokens", 100},
                      {"held_tokens", 25},
                      {"dense_bytes", 4096},
                      {"allocated_bytes", 1024},
                      {"peak_bytes", 2048},
                      {"prefill_tokens", 10},
                      {"prefill_s", 2}}};
}

TextPlan two_windows() {
  TextPlan plan{.contenders = {{.label = "dms"}, {.label = "none"}}};
  plan.windows = {{.begin = 0, .end = 8, .first_scored = 4},
                  {.begin = 4, .end = 12, .first_scored = 8}};
  plan.has_reference = true;
  return plan;
}

TEST(TextRows, AreMeansOverTheWindowsThatAreDone) {
  const TextPlan plan = two_windows();
  Store store;
  EXPECT_TRUE(text_rows(plan, store).empty());
  store.put("none 0", window_record(8, 0, 4, 4));
  store.put("dms 0", window_record(12, 2, 4, 1));
  store.put("none 4", window_record(100, 0, 4, 4));
  std::vector<TextRow> rows = text_rows(plan, store);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].label, "dms");
  EXPECT_EQ(rows[0].windows, 1);
  EXPECT_DOUBLE_EQ(rows[0].nll, 3);
  EXPECT_DOUBLE_EQ(*rows[0].ppl_change, std::exp(1) - 1);  // over the window that both have
  EXPECT_DOUBLE_EQ(rows[1].nll, 13.5);
  EXPECT_DOUBLE_EQ(*rows[1].ppl_change, 0);
  store.put("dms 4", window_record(20, 1, 4, 3));
  rows = text_rows(plan, store);
  EXPECT_EQ(rows[0].scored_tokens, 8);
  EXPECT_DOUBLE_EQ(*rows[0].kld, 3.0 / 8);
  EXPECT_DOUBLE_EQ(*rows[0].token_match, 0.5);
  EXPECT_DOUBLE_EQ(*rows[0].before_divergence, 2);
  EXPECT_EQ(rows[0].kv.cr, 4.0);
  EXPECT_EQ(rows[0].kv.cr_bytes, 4.0);
  EXPECT_EQ(rows[0].kv_bytes, 1024);
  EXPECT_EQ(rows[0].prefill_tok_s, 5.0);
  const Rendered rendered = render_text(rows);
  EXPECT_THAT(rendered.markdown, HasSubstr("| KLD nats |"));
  EXPECT_THAT(rendered.cards, HasSubstr("</svg>"));
}

TEST(TaskRows, ShowWhatIsDone) {
  TaskPlan plan{.contenders = {{.label = "none"}, {.label = "dms"}}};
  for (int64_t index = 0; index < 2; ++index) {
    for (const char* cell : {"512 0", "512 50"}) {
      plan.items.push_back({.task = "needle", .cell = cell, .index = index});
    }
  }
  Store store;
  EXPECT_TRUE(task_rows(plan, store).empty());
  const auto put = [&store](const char* key, double score) {
    store.put(key, {.numbers = {{"score", score}, {"dense_tokens", 8}, {"held_tokens", 2}}});
  };
  put("needle 512 0 0 none", 1);
  put("needle 512 0 1 none", 0);
  put("needle 512 0 0 dms", 1);
  std::vector<TaskRow> rows = task_rows(plan, store);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].scores[0].samples, 2);
  EXPECT_EQ(rows[0].scores[0].score, 0.5);
  EXPECT_EQ(rows[0].scores[1].samples, 1);
  put("needle 512 50 0 none", 1);
  rows = task_rows(plan, store);
  ASSERT_EQ(rows.size(), 2u);
  const std::vector<TaskScore> means = task_means(rows);
  EXPECT_EQ(means[0].score, 0.75);
  EXPECT_EQ(means[0].kv.cr, 4.0);
  EXPECT_EQ(means[1].samples, 0) << "a mean over fewer cells would be another's";
  const Rendered needles = render_needles(rows, {512}, {0, 50});
  EXPECT_THAT(needles.markdown, HasSubstr("| none   |    512 |  50.0 |  100.0 | 75.0 |"));
  EXPECT_THAT(render_tasks("RULER", rows, {{"qa_1", "no file"}}).markdown,
              HasSubstr("qa_1: no file"));
}

TEST(TaskRows, InventNoMemoryForWhatWasNotMeasured) {
  TaskPlan plan{.contenders = {{.label = "none"}, {.label = "h2o"}}};
  plan.items = {{.task = "vt", .cell = "512 0"}};
  Store store;
  store.put("vt 512 0 0 none",
            {.numbers = {{"score", 1}, {"dense_tokens", 8}, {"held_tokens", 8}}});
  const std::vector<TaskRow> rows = task_rows(plan, store);
  const auto cells_of = [](const Rendered& rendered, const std::string& first) {
    const auto found = std::ranges::find_if(
        rendered.table, [&first](const auto& cells) { return cells.front() == first; });
    return std::vector<std::string>(found->begin() + 2, found->end());
  };
  EXPECT_THAT(cells_of(render_needles(rows, {512}, {0}), "none"),
              testing::ElementsAre("100.0", "100.0", "1/1.00", "0.00"));
  EXPECT_THAT(cells_of(render_needles(rows, {512}, {0}), "h2o"), testing::Each("-"));
  const Rendered tasks = render_tasks("RULER", rows, {});
  EXPECT_THAT(cells_of(tasks, "KV held"), testing::ElementsAre("1/1.00", "-"));
  EXPECT_THAT(cells_of(tasks, "KV MiB"), testing::ElementsAre("0.00", "-"));
}

}  // namespace
}  // namespace dms::eval
