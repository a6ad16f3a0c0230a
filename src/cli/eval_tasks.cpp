// dms eval needle and ruler: answers that are right or wrong, under several policies.

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "cli/eval_actions.h"
#include "cli/eval_policies.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/file_state.h"
#include "cli/options.h"
#include "dms/chat.h"
#include "dms/error.h"
#include "tasks/haystack.h"
#include "tasks/questions.h"

namespace dms::cli {
namespace {

constexpr int64_t kRulerLength = 4096;
constexpr int64_t kNeedleAnswer = 8;  // tokens beside one for each digit

/// What an evaluation of tasks is made from.
class TaskSetup {
 public:
  TaskSetup(const EvalOptions& options, const ReportSink& sink);

  std::vector<int64_t> lengths(std::vector<int64_t> defaults) const;
  tasks::CountTokens count() const {
    return [this](const std::string& text) { return tokenizer_->count(text); };
  }
  tasks::RulerSettings settings(int64_t length) const {
    return {.length = length,
            .seed = options_.seed,
            .essay = &essay_,
            .squad = squad(),
            .hotpot = hotpot()};
  }
  const tasks::QuestionSet* squad() const { return squad_.get(); }
  const tasks::QuestionSet* hotpot() const { return hotpot_.get(); }
  const eval::Identity& identity() const { return identity_; }
  const ModelInfo& info() const { return models_->source().info(); }
  /// Measures what the plan's items ask for, and hands the rows to `report`.
  void run(eval::TaskPlan plan,
           const std::function<EvalReport(const std::vector<eval::TaskRow>&)>& report);

 private:
  void read_files();
  /// plan_contenders() with sizes for prompts of this length.
  int64_t plan_for(int64_t length) {
    return plan_contenders(
        [this](const eval::Variant& variant) -> const ModelSource& {
          return models_->source(variant);
        },
        contenders_,
        length);
  }

  EvalOptions options_;
  ReportSink sink_;
  std::vector<eval::Contender> contenders_;
  std::unique_ptr<EvalModels> models_;
  int64_t longest_ = 0;
  std::unique_ptr<eval::PromptTokenizer> tokenizer_;
  tasks::Haystack essay_;
  std::unique_ptr<tasks::QuestionSet> squad_;
  std::unique_ptr<tasks::QuestionSet> hotpot_;
  eval::Identity identity_;
};

std::optional<ChatTemplate> chat_template(const EvalOptions& options) {
  if (!options.is_chat) return std::nullopt;
  std::optional<ChatTemplate> found = ChatTemplate::load(options.model);
  if (!found) throw InputError({.where = "--chat", .what = "the model has no chat template"});
  return found;
}

TaskSetup::TaskSetup(const EvalOptions& options, const ReportSink& sink)
    : options_(options), sink_(sink) {
  options_.cache = with_seekable_files(options.cache);
  const ModelInfo info = inspect_model(
      options.model, options.model_options.adapter, options.model_options.metadata_scope);
  contenders_ = parse_contenders(policy_list_of(options, info, true), options_.cache);
  models_ = std::make_unique<EvalModels>(options_, contenders_);
  longest_ = std::min(plan_for(std::min(info.context, kRulerLength)), info.context);
  tokenizer_ = std::make_unique<eval::PromptTokenizer>(models_->source().tokenizer(),
                                                       chat_template(options));
  read_files();
}

void TaskSetup::read_files() {
  const std::string haystack = options_.haystack.empty() ? "" : read_text(options_.haystack);
  essay_ = tasks::Haystack(haystack);
  const std::filesystem::path squad = seekable_file(options_.squad);
  const std::filesystem::path hotpot = seekable_file(options_.hotpot);
  const auto set_of = [](const std::filesystem::path& file, auto read) {
    return file.empty() ? nullptr : std::make_unique<tasks::QuestionSet>(read(file));
  };
  squad_ = set_of(squad, tasks::read_squad);
  hotpot_ = set_of(hotpot, tasks::read_hotpot);
  identity_ = common_identity(options_);
  identity_.insert({{"haystack", fmt::format("{:016x}", stable_hash(haystack))},
                    {"squad", checksum(squad)},
                    {"hotpotqa", checksum(hotpot)},
                    {"seed", std::to_string(options_.seed)},
                    {"hide_question", options_.hides_question ? "yes" : "no"},
                    {"chat", options_.is_chat ? "yes" : "no"},
                    {"digits", std::to_string(options_.digits)}});
}

std::vector<int64_t> TaskSetup::lengths(std::vector<int64_t> defaults) const {
  if (options_.lengths.empty()) {
    std::erase_if(defaults, [this](int64_t length) { return length > longest_; });
    if (defaults.empty()) defaults.push_back(longest_);
    return defaults;
  }
  const int64_t most = *std::ranges::max_element(options_.lengths);
  if (most > longest_) {
    throw InputError({.where = "--lengths",
                      .what = "longer than the model's context",
                      .got = std::to_string(most),
                      .expected = fmt::format("at most {}", longest_)});
  }
  return options_.lengths;
}

/// So that what is too short is refused before the weights are read.
void write_firsts(const eval::TaskPlan& plan) {
  std::vector<std::pair<std::string, std::string>> seen;
  for (const eval::TaskItem& item : plan.items) {
    const std::pair<std::string, std::string> kind(item.task, item.cell);
    const bool is_seen = std::ranges::find(seen, kind) != seen.end();
    if (is_seen && !item.varies_in_size) continue;
    seen.push_back(kind);
    item.write();
  }
}

void TaskSetup::run(eval::TaskPlan plan,
                    const std::function<EvalReport(const std::vector<eval::TaskRow>&)>& report) {
  plan.hides_question = options_.hides_question;
  int64_t shortest = longest_;
  for (const eval::TaskItem& item : plan.items) shortest = std::min(shortest, item.length);
  check_sizes(contenders_, shortest, shortest);
  plan_for(shortest);
  plan.contenders = contenders_;
  write_firsts(plan);
  eval::Store store = open_store(options_, identity_);
  measure_and_report(
      [&] {
        EvalProgress progress(options_);
        eval::evaluate_tasks(
            plan,
            *tokenizer_,
            [&](const eval::Variant& variant) -> LLM& { return models_->with(variant); },
            [&](const eval::Step& step) { progress.show(step); },
            store);
      },
      [&] { return sink_(report(eval::task_rows(plan, store)), info()); });
}

OutputJson head_of(const EvalOptions& options, const std::vector<int64_t>& lengths) {
  return {{"action", options.action},
          {"model", options.model},
          {"lengths", lengths},
          {"samples", options.samples},
          {"seed", options.seed},
          {"haystack", options.haystack.empty() ? "noise" : options.haystack},
          {"question_hidden", options.hides_question},
          {"chat", options.is_chat}};
}

eval::AnswerRule rule_of(const tasks::RulerTask& task) {
  return task.metric == tasks::RulerMetric::any ? eval::AnswerRule::any_given
                                                : eval::AnswerRule::all_given;
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
    const bool is_squad = task.name == "qa_1";
    const bool has_questions = (is_squad ? setup.squad() : setup.hotpot()) != nullptr;
    if (task.needs_questions && !has_questions) {
      left_out.emplace_back(task.name, is_squad ? "no --squad file" : "no --hotpotqa file");
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
            .rendered = eval::render_ruler(rows, left_out)};
  });
}

}  // namespace dms::cli
