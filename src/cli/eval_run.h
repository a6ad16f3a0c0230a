#pragma once
// What all evaluations of `dms eval` have in common: the models, the store, progress and Ctrl-C.

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/eval_options.h"
#include "cli/interrupt_flag.h"
#include "cli/progress.h"
#include "dms/llm.h"
#include "eval/contender.h"
#include "eval/step.h"
#include "eval/store.h"

namespace dms::cli {

/// The model in every storage type and with every adapter that a contender wants; weights are read
/// when they are first asked for.
class EvalModels {
 public:
  /// Throws InputError where a type does not fit; `option` names the list of contenders.
  EvalModels(const EvalOptions& options,
             const std::vector<eval::Contender>& contenders,
             const std::string& option = "--policies");

  const ModelSource& source(const eval::Variant& variant = {}) const {
    return sources_.at(variant);
  }
  LLM& with(const eval::Variant& variant);

 private:
  const EvalOptions& options_;
  std::map<eval::Variant, ModelSource> sources_;  // of those, no weights are read
  std::map<eval::Variant, LLM> models_;
};

/// Somebody pressed Ctrl-C.
class Interrupted : public std::exception {
 public:
  /// `has_rows`: whether something was measured before.
  explicit Interrupted(bool has_rows = false) : has_rows_(has_rows) {}
  bool has_rows() const { return has_rows_; }

 private:
  bool has_rows_;
};

/// A line on a terminal that says how far an evaluation is and how long it will take yet.
class EvalProgress {
 public:
  explicit EvalProgress(const EvalOptions& options)
      : line_(options.caption.empty() ? "eval " + options.action : options.caption) {}
  /// Throws Interrupted after a Ctrl-C.
  void show(const eval::Step& step);
  void wipe() { line_.wipe(); }

 private:
  using Clock = std::chrono::steady_clock;

  InterruptFlag interrupt_;
  ProgressLine line_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_{};
};

/// `planned`: what the evaluation comes to, whose records must be whole; `files`:
/// eval::Store's.
eval::Store open_store(const EvalOptions& options,
                       const eval::Identity& identity,
                       const std::vector<eval::PlannedRecord>& planned = {},
                       const eval::Identity& files = {});
/// The settings and files that results of every action depend on; empty without `options.out`.
eval::Identity common_identity(const EvalOptions& options);

/// Runs `measure`; then, whatever came of it, `report`, which prints what is done and says whether
/// there is any. What `measure` threw is thrown after that, Interrupted too.
void measure_and_report(const std::function<void()>& measure, const std::function<bool()>& report);

/// Ends the process as a Ctrl-C ends others, saying `what` became of the results.
void end_as_interrupted(const std::string& what);
/// The same where they were printed. `next`: what to do about the rest; empty: nothing is kept.
void end_as_interrupted(const Interrupted& interrupted, const std::string& next = {});
/// Which command does what an interrupted one left.
std::string next_command(bool is_forced);

}  // namespace dms::cli
