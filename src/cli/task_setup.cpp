#include "cli/task_setup.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "cli/file_state.h"
#include "cli/input.h"
#include "cli/options.h"
#include "dms/chat.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kUsualLength = 4096;

std::optional<ChatTemplate> chat_template(const EvalOptions& options) {
  if (!options.is_chat) return std::nullopt;
  std::optional<ChatTemplate> found = ChatTemplate::load(options.model);
  if (!found) throw InputError({.where = "--chat", .what = "the model has no chat template"});
  return found;
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

}  // namespace

TaskSetup::TaskSetup(const EvalOptions& options, const ReportSink& sink)
    : options_(options), sink_(sink) {
  options_.cache = with_seekable_files(options.cache);
  const ModelInfo info = inspect_model(
      options.model, options.model_options.adapter, options.model_options.metadata_scope);
  contenders_ = parse_contenders(policy_list_of(options, info, true), options_.cache);
  models_ = std::make_unique<EvalModels>(options_, contenders_);
  longest_ = plan_for(std::min(info.context, kUsualLength));
  longest_.model = std::min(longest_.model, info.context);
  tokenizer_ = std::make_unique<eval::PromptTokenizer>(models_->source().tokenizer(),
                                                       chat_template(options));
  read_files();
}

LongestTexts TaskSetup::plan_for(int64_t length) {
  return plan_contenders(
      [this](const eval::Variant& variant) -> const ModelSource& {
        return models_->source(variant);
      },
      contenders_,
      length);
}

void TaskSetup::read_files() {
  const std::string haystack = options_.haystack.empty() ? "" : read_text(options_.haystack);
  if (!options_.haystack.empty() && !tasks::Haystack::has_words(haystack)) {
    throw InputError({.where = input_name(options_.haystack),
                      .what = "no words",
                      .expected = "a text for needles to lie in"});
  }
  essay_ = tasks::Haystack(haystack);
  const std::filesystem::path squad = seekable_file(options_.squad);
  const std::filesystem::path hotpot = seekable_file(options_.hotpot);
  const auto set_of = [](const std::filesystem::path& file, auto read) {
    return file.empty() ? nullptr : std::make_unique<tasks::QuestionSet>(read(file));
  };
  squad_ = set_of(squad, tasks::read_squad);
  hotpot_ = set_of(hotpot, tasks::read_hotpot);
  question_files_ = {{"squad", checksum(squad)}, {"hotpotqa", checksum(hotpot)}};
  identity_ = common_identity(options_);
  identity_.insert({{"haystack", fmt::format("{:016x}", stable_hash(haystack))},
                    {"seed", std::to_string(options_.seed)},
                    {"hide_question", options_.hides_question ? "yes" : "no"},
                    {"chat", options_.is_chat ? "yes" : "no"},
                    {"digits", std::to_string(options_.digits)}});
}

std::vector<int64_t> TaskSetup::lengths(std::vector<int64_t> defaults) const {
  if (options_.lengths.empty()) {
    const int64_t longest = longest_.all();
    std::erase_if(defaults, [longest](int64_t length) { return length > longest; });
    if (defaults.empty()) defaults.push_back(longest);
    return defaults;
  }
  const int64_t most = *std::ranges::max_element(options_.lengths);
  require_length(longest_, contenders_, most, "--lengths");
  return options_.lengths;
}

void TaskSetup::run(eval::TaskPlan plan,
                    const std::function<EvalReport(const std::vector<eval::TaskRow>&)>& report) {
  plan.hides_question = options_.hides_question;
  int64_t shortest = longest_.model;
  for (const eval::TaskItem& item : plan.items) shortest = std::min(shortest, item.length);
  check_sizes(contenders_, shortest);
  plan_for(shortest);
  plan.contenders = contenders_;
  write_firsts(plan);
  eval::Store store = open_store(options_, identity_, eval::planned_records(plan), files_);
  measure_and_report(
      [&] {
        if (options_.is_recalled) return;
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

}  // namespace dms::cli
