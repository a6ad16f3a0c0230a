#pragma once
// Tasks with answers that are right or wrong, through the caches of several policies.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eval/contender.h"
#include "eval/prompt_tokens.h"
#include "eval/step.h"
#include "eval/store.h"
#include "tasks/ruler.h"

namespace dms::eval {

enum class AnswerRule {
  all_given,     // RULER's: the share of references that stand in the answer
  any_given,     // RULER's: whether one does
  begins_right,  // whether the first word of the answer is the reference
};

/// One prompt of a task. Items of one task and cell are samples of it.
struct TaskItem {
  std::string task;   // "niah_single_1"
  std::string cell;   // where in a grid, as "4096 50"
  int64_t index = 0;  // of the sample
  int64_t length = 0;
  int64_t answer_tokens = 0;
  AnswerRule rule = AnswerRule::all_given;
  bool varies_in_size = false;  // the least that its prompt needs is another for each sample
  std::function<tasks::RulerPrompt()> write{};
  // 0 to 1, instead of the rule; such an answer is generated to its end.
  std::function<double(const std::string& answer)> score{};
  bool is_scored_last = false;  // by score() when rows are made: the store keeps the answer alone
};

struct TaskPlan {
  std::vector<Contender> contenders;
  std::vector<TaskItem> items{};
  bool hides_question = false;  // what stands before it is a prompt by itself: a policy that acts
                                // when a prompt ends does not know what will be asked
  // Hears all answers to items that are scored last before any is; false leaves these items out.
  std::function<bool(const std::vector<std::string>& answers)> before_last{};
};

/// Answers every item greedily under every contender; what `store` has is not done again. An answer
/// ends early where nothing that could follow changes its score. Throws what `on_step` throws.
void evaluate_tasks(const TaskPlan& plan,
                    const PromptTokenizer& tokenizer,
                    const ModelWith& model_with,
                    const OnStep& on_step,
                    Store& store);

/// In no order that matters.
std::vector<PlannedRecord> planned_records(const TaskPlan& plan);

/// One contender's share of one task and cell, over the samples that are done.
struct TaskScore {
  std::string label;
  int64_t samples = 0;
  double score = 0;  // mean, 0 to 1
  KvStats kv{};      // after the answers, sums; no heads
  int64_t kv_bytes = 0;
  int64_t peak_bytes = 0;
  double prefill_tok_s = 0;
  double decode_tok_s = 0;
};

struct TaskRow {
  std::string task;
  std::string cell;
  std::vector<TaskScore> scores;  // of the contenders, in their order; without samples: not done
};

/// A row for each task and cell of which something is done, in the order of the items.
std::vector<TaskRow> task_rows(const TaskPlan& plan, const Store& store);

/// Of each contender over all rows: the mean of the rows' scores where it has all of them, sums of
/// memory.
std::vector<TaskScore> task_means(const std::vector<TaskRow>& rows);

/// 0 to 1.
double score_answer(const std::string& answer,
                    const std::vector<std::string>& references,
                    AnswerRule rule);
/// Whether no text that follows can change the score.
bool is_decided(const std::string& answer,
                const std::vector<std::string>& references,
                AnswerRule rule);

}  // namespace dms::eval
