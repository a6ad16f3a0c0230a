// dms eval longbench: LongBench's tasks from files that the user has.

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_report.h"
#include "cli/file_state.h"
#include "cli/task_setup.h"
#include "dms/error.h"
#include "tasks/longbench.h"

namespace dms::cli {
namespace {

constexpr int64_t kLength = 4096;

struct LoadedTask {
  const tasks::LongBenchTask* task;
  std::filesystem::path file;
  std::vector<tasks::LongBenchRecord> records;
};

/// Those that are asked for, or whose files are there.
std::vector<LoadedTask> load_tasks(const EvalOptions& options) {
  std::vector<LoadedTask> loaded;
  for (const std::string& name : options.tasks) tasks::find_longbench_task(name);
  for (const tasks::LongBenchTask& task : tasks::longbench_tasks()) {
    const bool is_named = std::ranges::find(options.tasks, task.name) != options.tasks.end();
    const std::filesystem::path file =
        std::filesystem::path(options.data) / fmt::format("{}.jsonl", task.name);
    std::error_code none;
    const bool is_wanted =
        is_named || (options.tasks.empty() && std::filesystem::exists(file, none));
    if (!is_wanted) continue;
    loaded.push_back(
        {.task = &task, .file = file, .records = tasks::read_longbench(file, options.samples)});
  }
  if (!loaded.empty()) return loaded;
  throw InputError({.where = options.data.empty() ? "--data" : options.data,
                    .what = options.data.empty() ? "missing" : "no file of LongBench there",
                    .expected = "a folder with hotpotqa.jsonl or others of its files"});
}

}  // namespace

void eval_longbench(const EvalOptions& options, const ReportSink& sink) {
  const std::vector<LoadedTask> loaded = load_tasks(options);
  TaskSetup setup(options, sink);
  const std::vector<int64_t> lengths = setup.lengths({kLength});
  eval::TaskPlan plan;
  for (const LoadedTask& source : loaded) {
    setup.add_identity(std::string(source.task->name), checksum(source.file));
    for (const int64_t length : lengths) {
      for (int64_t index = 0; index < std::ssize(source.records); ++index) {
        const tasks::LongBenchTask& task = *source.task;
        const tasks::LongBenchRecord& record = source.records[static_cast<size_t>(index)];
        plan.items.push_back({.task = std::string(task.name),
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
                                  [&task, &record](const std::string& answer) {
                                    return tasks::longbench_score(task, record, answer);
                                  }});
      }
    }
  }
  setup.run(std::move(plan), [&](const std::vector<eval::TaskRow>& rows) -> EvalReport {
    OutputJson head = head_of(options, lengths);
    head["data"] = options.data;
    return {.head = std::move(head),
            .rows = task_rows_json(rows),
            .rendered = eval::render_tasks("LongBench", rows, {})};
  });
}

}  // namespace dms::cli
