// dms eval longbench: LongBench's tasks from files that the user has.

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_report.h"
#include "cli/file_state.h"
#include "cli/longbench_words.h"
#include "cli/task_setup.h"
#include "dms/error.h"
#include "tasks/longbench.h"

namespace dms::cli {
namespace {

constexpr int64_t kLength = 4096;
constexpr const char* kScores = "3";  // another one where a kept score means another

struct LoadedTask {
  const tasks::LongBenchTask* task;
  std::filesystem::path file;
  std::vector<tasks::LongBenchRecord> records;
};

[[noreturn]] void refuse_without_segmenter(const std::string& where, std::string_view task) {
  throw InputError({.where = where,
                    .what = "is scored by the words of Chinese text",
                    .got = std::string(task),
                    .expected = "--segmenter and a command that finds them",
                    .hint = "with jieba for Python: --segmenter \"python3 -m jieba -q -d\""});
}

[[noreturn]] void refuse_without_files(const std::string& folder) {
  throw InputError({.where = folder.empty() ? "--data" : folder,
                    .what = folder.empty() ? "missing" : "no file of LongBench there",
                    .expected = "a folder with hotpotqa.jsonl or others of its files"});
}

/// Those that are asked for, or whose files are there and can be scored; others of these go to
/// `left_out`.
std::vector<LoadedTask> load_tasks(const EvalOptions& options, eval::LeftOut& left_out) {
  std::vector<LoadedTask> loaded;
  for (const std::string& name : options.tasks) {
    const bool needs_words = tasks::find_longbench_task(name).needs_words();
    if (needs_words && options.segmenter.empty()) refuse_without_segmenter("--tasks", name);
  }
  for (const tasks::LongBenchTask& task : tasks::longbench_tasks()) {
    const bool is_named = std::ranges::find(options.tasks, task.name) != options.tasks.end();
    const std::filesystem::path file =
        std::filesystem::path(options.data) / fmt::format("{}.jsonl", task.name);
    std::error_code none;
    const bool is_wanted =
        is_named || (options.tasks.empty() && std::filesystem::exists(file, none));
    if (!is_wanted) continue;
    if (task.needs_words() && options.segmenter.empty()) {
      left_out.emplace_back(task.name, "no --segmenter");
      continue;
    }
    loaded.push_back(
        {.task = &task, .file = file, .records = tasks::read_longbench(file, options.samples)});
  }
  if (!loaded.empty()) return loaded;
  if (!left_out.empty()) refuse_without_segmenter(options.data, left_out.front().first);
  refuse_without_files(options.data);
}

std::vector<tasks::LongBenchRecord*> records_of_words(std::vector<LoadedTask>& loaded) {
  std::vector<tasks::LongBenchRecord*> records;
  for (LoadedTask& source : loaded) {
    if (!source.task->needs_words()) continue;
    for (tasks::LongBenchRecord& record : source.records) records.push_back(&record);
  }
  return records;
}

/// The items of one task and length.
void add_items(const LoadedTask& source,
               int64_t length,
               const TaskSetup& setup,
               const LongBenchWords& words,
               std::vector<eval::TaskItem>& items) {
  const tasks::LongBenchTask& task = *source.task;
  for (int64_t index = 0; index < std::ssize(source.records); ++index) {
    const tasks::LongBenchRecord& record = source.records[static_cast<size_t>(index)];
    items.push_back({.task = std::string(task.name),
                     .cell = std::to_string(length),
                     .index = index,
                     .length = length,
                     .answer_tokens = task.answer_tokens,
                     .varies_in_size = true,
                     .write =
                         [&setup, &task, &record, length] {
                           return tasks::make_longbench_prompt(
                               task, record, length - task.answer_tokens, setup.count());
                         },
                     .score =
                         [&task, &record, &words](const std::string& answer) {
                           return tasks::longbench_score(
                               task, record, task.needs_words() ? words.of(answer) : answer);
                         },
                     .is_scored_last = task.needs_words()});
  }
}

}  // namespace

void eval_longbench(const EvalOptions& options, const ReportSink& sink) {
  eval::LeftOut left_out;
  std::vector<LoadedTask> loaded = load_tasks(options, left_out);
  TaskSetup setup(options, sink);
  const std::vector<int64_t> lengths = setup.lengths({kLength});
  LongBenchWords words(options.segmenter);
  eval::TaskPlan plan;
  setup.add_identity("scores", kScores);
  words.divide_references(records_of_words(loaded));
  for (const LoadedTask& source : loaded) {
    setup.add_file(std::string(source.task->name), checksum(source.file));
    for (const int64_t length : lengths) add_items(source, length, setup, words, plan.items);
  }
  plan.before_last = [&words](const std::vector<std::string>& answers) {
    return words.divide_answers(answers);
  };
  bool has_rows = false;
  setup.run(std::move(plan), [&](const std::vector<eval::TaskRow>& rows) -> EvalReport {
    has_rows = !rows.empty();
    if (!words.failure().empty()) {
      for (const LoadedTask& source : loaded) {
        if (source.task->needs_words()) left_out.emplace_back(source.task->name, words.failure());
      }
    }
    OutputJson head = head_of(options, lengths);
    head["data"] = options.data;
    if (!options.segmenter.empty()) head["segmenter"] = options.segmenter;
    for (const auto& [task, reason] : left_out) head["left_out"][task] = reason;
    return {.head = std::move(head),
            .rows = task_rows_json(rows),
            .rendered = eval::render_tasks("LongBench", rows, left_out)};
  });
  words.throw_failure(has_rows);
}

}  // namespace dms::cli
