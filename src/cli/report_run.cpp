#include "cli/report_run.h"

#include <new>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_actions.h"
#include "cli/eval_run.h"
#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

/// One evaluation of a scenario under one profile.
struct Run {
  const Scenario* scenario;
  Profile profile;
  EvalOptions options;
  bool is_first;  // of its evaluation: later profiles add to the same results

  std::string measure() const {
    return options.context ? fmt::format("{} {}", options.action, *options.context)
                           : options.action;
  }
  std::string name() const {
    return fmt::format("{}, {}, {}", scenario->name, profile.name, measure());
  }
};

std::vector<Run> runs_of(const ReportPlan& plan) {
  std::vector<Run> runs;
  for (const Scenario& scenario : plan.scenarios) {
    const std::vector<Profile> profiles =
        scenario.profiles.empty() ? plan.profiles
                                  : choose_profiles(plan.known, scenario.profiles, scenario.name);
    for (const EvalOptions& part : scenario.parts) {
      bool is_first = true;
      for (const Profile& profile : profiles) {
        runs.push_back({.scenario = &scenario,
                        .profile = profile,
                        .options = part,
                        .is_first = std::exchange(is_first, false)});
      }
    }
  }
  return runs;
}

/// A folder for each evaluation; policies of all profiles share it.
std::string folder_of(const ReportPlan& plan, const Run& run) {
  std::string name = run.options.action;
  if (run.options.context) name += fmt::format("-{}", *run.options.context);
  return (plan.folder / run.scenario->name / name).string();
}

std::string policies_of(const Run& run) {
  const ModelInfo info = inspect_model(run.options.model,
                                       run.options.model_options.adapter,
                                       run.options.model_options.metadata_scope);
  return run.profile.policies + (run.profile.adds_trained && info.dms ? ",dms" : "");
}

/// What is wrong with a policy is said of the place where it stands.
std::string reason_of(const Error& error, const Run& run) {
  constexpr std::string_view option = "--policies";
  ErrorParts parts = error.parts();
  if (!parts.where.starts_with(option)) return error.what();
  const std::string place =
      run.profile.where.empty() ? fmt::format("profile {}", run.profile.name) : run.profile.where;
  parts.where = place + parts.where.substr(option.size());
  return InputError(parts).what();
}

void add_failure(ReportResults& results, const Run& run, const std::string& reason) {
  results.failures.push_back({.part = run.name(), .reason = reason});
  note(fmt::format("{}: {}", run.name(), reason));
}

void measure(const ReportPlan& plan, Run& run, const std::string& caption, ReportResults& results) {
  run.options.policies = policies_of(run);
  run.options.out = folder_of(plan, run);
  run.options.force = plan.force && run.is_first;
  run.options.caption = caption;
  evaluate(run.options, [&](const EvalReport& report, const ModelInfo&) {
    if (report.rows.empty()) return false;
    results.parts.push_back({.scenario = run.scenario->name,
                             .profile = run.profile.name,
                             .options = run.options,
                             .results = report});
    return true;
  });
}

}  // namespace

ReportResults run_report(const ReportPlan& plan) {
  std::vector<Run> runs = runs_of(plan);
  ReportResults results{.wanted = runs.size()};
  for (size_t i = 0; i < runs.size(); ++i) {
    Run& run = runs[i];
    try {
      measure(
          plan, run, fmt::format("report {} of {}: {}", i + 1, runs.size(), run.name()), results);
    } catch (const Interrupted&) {
      results.is_interrupted = true;
      break;
    } catch (const Error& error) {
      add_failure(results, run, reason_of(error, run));
    } catch (const std::bad_alloc&) {
      add_failure(results, run, out_of_memory().what());
    }
  }
  return results;
}

}  // namespace dms::cli
