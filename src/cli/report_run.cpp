#include "cli/report_run.h"

#include <new>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "cli/eval_actions.h"
#include "cli/eval_run.h"
#include "cli/interrupt_flag.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

/// One evaluation of a scenario under one profile.
struct Run {
  const Scenario* scenario;
  Profile profile;
  EvalOptions options;

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
      for (const Profile& profile : profiles) {
        runs.push_back({.scenario = &scenario, .profile = profile, .options = part});
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

/// The policy that an error is about; empty: it is about something else.
std::string policy_of(const Error& error) {
  constexpr std::string_view place = "--policies: ";
  const std::string& where = error.parts().where;
  return where.starts_with(place) ? where.substr(place.size()) : "";
}

/// The list without a policy; the same where it is not in it.
std::string without(const std::string& policies, const std::string& policy) {
  std::vector<std::string> rest = parse_list("--policies", policies);
  std::erase(rest, policy);
  return fmt::format("{}", fmt::join(rest, ","));
}

void add_failure(ReportResults& results, const std::string& part, const std::string& reason) {
  results.failures.push_back({.part = part, .reason = reason});
  note(fmt::format("{}: {}", part, reason));
}

/// `begun`: folders that this report has opened; later profiles add to what is in them.
void measure(const ReportPlan& plan,
             Run& run,
             std::set<std::string>& begun,
             ReportResults& results) {
  run.options.out = folder_of(plan, run);
  run.options.force = plan.force && !begun.contains(run.options.out);
  evaluate(run.options, [&](const EvalReport& report, const ModelInfo&) {
    begun.insert(run.options.out);
    if (report.rows.empty()) return false;
    results.parts.push_back({.scenario = run.scenario->name,
                             .profile = run.profile.name,
                             .options = run.options,
                             .results = report});
    return true;
  });
}

/// A policy that is refused is left out; nothing was measured before it was, and the others are.
void measure_others(const ReportPlan& plan,
                    Run& run,
                    std::set<std::string>& begun,
                    const InterruptFlag& interrupt,
                    ReportResults& results) {
  run.options.policies = policies_of(run);
  while (true) {
    if (interrupt.is_set()) throw Interrupted();
    try {
      return measure(plan, run, begun, results);
    } catch (const InputError& error) {
      const std::string policy = policy_of(error);
      const std::string rest = policy.empty() ? "" : without(run.options.policies, policy);
      if (rest.empty() || rest == run.options.policies) throw;
      add_failure(results, fmt::format("{}, {}", run.name(), policy), reason_of(error, run));
      ++results.wanted;
      run.options.policies = rest;
    }
  }
}

}  // namespace

ReportResults run_report(const ReportPlan& plan) {
  std::vector<Run> runs = runs_of(plan);
  ReportResults results{.wanted = runs.size()};
  std::set<std::string> begun;
  const InterruptFlag interrupt;  // an evaluation has its own only while it measures
  for (size_t i = 0; i < runs.size(); ++i) {
    Run& run = runs[i];
    try {
      run.options.caption = fmt::format("report {} of {}: {}", i + 1, runs.size(), run.name());
      measure_others(plan, run, begun, interrupt, results);
    } catch (const Interrupted&) {
      results.is_interrupted = true;
      break;
    } catch (const Error& error) {
      add_failure(results, run.name(), reason_of(error, run));
    } catch (const std::bad_alloc&) {
      add_failure(results, run.name(), out_of_memory().what());
    }
  }
  return results;
}

}  // namespace dms::cli
