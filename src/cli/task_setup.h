#pragma once
// What an evaluation of tasks is made from: the model, the policies, the files, the prompts'
// tokens.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/eval_actions.h"
#include "cli/eval_policies.h"
#include "cli/eval_run.h"
#include "eval/prompt_tokens.h"
#include "eval/task_eval.h"
#include "tasks/haystack.h"
#include "tasks/questions.h"
#include "tasks/ruler.h"

namespace dms::cli {

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
  /// Another setting that the results depend on.
  void add_identity(const std::string& name, const std::string& value) { identity_[name] = value; }
  /// A file that results of one task depend on.
  void add_file(const std::string& name, const std::string& content) { files_[name] = content; }
  /// What they hold, by their options' names.
  const std::string& question_file(const std::string& name) const {
    return question_files_.at(name);
  }
  const ModelInfo& info() const { return models_->source().info(); }
  /// Measures what the plan's items ask for, and hands the rows to `report`.
  void run(eval::TaskPlan plan,
           const std::function<EvalReport(const std::vector<eval::TaskRow>&)>& report);

 private:
  void read_files();
  /// plan_contenders() with sizes for prompts of this length.
  LongestTexts plan_for(int64_t length);

  EvalOptions options_;
  ReportSink sink_;
  std::vector<eval::Contender> contenders_;
  std::unique_ptr<EvalModels> models_;
  LongestTexts longest_{};
  std::unique_ptr<eval::PromptTokenizer> tokenizer_;
  tasks::Haystack essay_;
  std::unique_ptr<tasks::QuestionSet> squad_;
  std::unique_ptr<tasks::QuestionSet> hotpot_;
  std::map<std::string, std::string> question_files_;
  eval::Identity identity_;
  eval::Identity files_;
};

/// What every evaluation of tasks says of itself.
OutputJson head_of(const EvalOptions& options, const std::vector<int64_t>& lengths);

}  // namespace dms::cli
