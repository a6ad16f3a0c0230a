// dms eval needle and ruler: answers that are right or wrong, under several policies.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_report.h"
#include "cli/task_setup.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kRulerLength = 4096;
constexpr const char* kSquad = "squad";
constexpr const char* kHotpot = "hotpotqa";
constexpr int64_t kNeedleAnswer = 8;  // tokens beside one for each digit

eval::AnswerRule rule_of(const tasks::RulerTask& task) {
  return task.metric == tasks::RulerMetric::any ? eval::AnswerRule::any_given
                                                : eval::AnswerRule::all_given;
}

/// Whose file a task of questions asks.
std::string question_option(const tasks::RulerTask& task) {
  return task.name == "qa_1" ? kSquad : kHotpot;
}

/// Those that are asked for and can be made, in RULER's order; the others go to `left_out`.
std::vector<const tasks::RulerTask*> chosen_tasks(const EvalOptions& options,
                                                  const TaskSetup& setup,
                                                  eval::LeftOut& left_out) {
  for (const std::string& name : options.tasks) tasks::find_ruler_task(name);
  std::vector<const tasks::RulerTask*> chosen;
  for (const tasks::RulerTask& task : tasks::ruler_tasks()) {
    const bool is_wanted =
        options.tasks.empty() || std::ranges::find(options.tasks, task.name) != options.tasks.end();
    if (!is_wanted) continue;
    const std::string option = question_option(task);
    const bool has_questions = (option == kSquad ? setup.squad() : setup.hotpot()) != nullptr;
    if (task.needs_questions && !has_questions) {
      left_out.emplace_back(task.name, fmt::format("no --{} file", option));
    } else {
      chosen.push_back(&task);
    }
  }
  if (!chosen.empty()) return chosen;
  throw InputError({.where = "--tasks",
                    .what = "none of them can be made",
                    .got = fmt::format("{}: {}", left_out.front().first, left_out.front().second)});
}

}  // namespace

void eval_needle(const EvalOptions& options, const ReportSink& sink) {
  TaskSetup setup(options, sink);
  const std::vector<int64_t> lengths = setup.lengths({512, 1024, 2048});
  const int64_t answer_tokens = options.digits + kNeedleAnswer;
  eval::TaskPlan plan;
  for (const int64_t length : lengths) {
    for (const int64_t depth : options.depths) {
      for (int64_t index = 0; index < options.samples; ++index) {
        plan.items.push_back({.task = "needle",
                              .cell = eval::needle_cell(length, depth),
                              .index = index,
                              .length = length,
                              .answer_tokens = answer_tokens,
                              .rule = eval::AnswerRule::begins_right,
                              .write = [&, length, depth, index] {
                                constexpr double kPercent = 100;
                                return tasks::make_needle_prompt(
                                    setup.settings(length),
                                    static_cast<double>(depth) / kPercent,
                                    !options.haystack.empty(),
                                    options.digits,
                                    answer_tokens,
                                    index,
                                    setup.count());
                              }});
      }
    }
  }
  setup.run(std::move(plan), [&](const std::vector<eval::TaskRow>& rows) -> EvalReport {
    OutputJson head = head_of(options, lengths);
    head["depths"] = options.depths;
    head["digits"] = options.digits;
    return {.head = std::move(head),
            .rows = task_rows_json(rows),
            .rendered = eval::render_needles(rows, lengths, options.depths)};
  });
}

void eval_ruler(const EvalOptions& options, const ReportSink& sink) {
  TaskSetup setup(options, sink);
  eval::LeftOut left_out;
  const std::vector<const tasks::RulerTask*> chosen = chosen_tasks(options, setup, left_out);
  const std::vector<int64_t> lengths = setup.lengths({kRulerLength});
  eval::TaskPlan plan;
  for (const tasks::RulerTask* task : chosen) {
    if (!task->needs_questions) continue;
    const std::string option = question_option(*task);
    setup.add_file(option, setup.question_file(option));
  }
  for (const int64_t length : lengths) {
    for (const tasks::RulerTask* task : chosen) {
      for (int64_t index = 0; index < options.samples; ++index) {
        plan.items.push_back({.task = std::string(task->name),
                              .cell = std::to_string(length),
                              .index = index,
                              .length = length,
                              .answer_tokens = task->answer_tokens,
                              .rule = rule_of(*task),
                              .varies_in_size = task->needs_questions,
                              .write = [&setup, task, length, index] {
                                return tasks::make_ruler_prompt(
                                    *task, setup.settings(length), index, setup.count());
                              }});
      }
    }
  }
  setup.run(std::move(plan), [&](const std::vector<eval::TaskRow>& rows) -> EvalReport {
    OutputJson head = head_of(options, lengths);
    for (const auto& [task, reason] : left_out) head["left_out"][task] = reason;
    return {.head = std::move(head),
            .rows = task_rows_json(rows),
            .rendered = eval::render_tasks("RULER", rows, left_out)};
  });
}

}  // namespace dms::cli
