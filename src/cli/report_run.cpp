#include "cli/report_run.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/eval_actions.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/interrupt_flag.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"
#include "eval/store.h"

namespace dms::cli {
namespace {

/// One evaluation of a scenario under one profile.
struct Run {
  const Scenario* scenario;
  Profile profile;
  EvalOptions options;  // recalled: what an earlier report has left of it is told

  std::string measure() const {
    return options.context ? fmt::format("{} {}", options.action, *options.context)
                           : options.action;
  }
  std::string name() const {
    return fmt::format("{}, {}, {}", scenario->name, profile.name, measure());
  }
};

std::vector<Profile> profiles_of(const ReportPlan& plan,
                                 const Scenario& scenario,
                                 const std::vector<Profile>& usual) {
  return scenario.profiles.empty() ? usual
                                   : choose_profiles(plan.known, scenario.profiles, scenario.name);
}

const Scenario* find(const std::vector<Scenario>& scenarios, const std::string& name) {
  const auto found = std::ranges::find(scenarios, name, &Scenario::name);
  return found == scenarios.end() ? nullptr : &*found;
}

/// The runs of a scenario: those that are asked for, as `wanted` has it, and those of `usual`.
void add_runs(const ReportPlan& plan,
              const Scenario* wanted,
              const Scenario* usual,
              std::vector<Run>& runs) {
  const Scenario& scenario = wanted != nullptr ? *wanted : *usual;
  std::vector<Profile> asked;
  if (wanted != nullptr) asked = profiles_of(plan, *wanted, plan.profiles);
  std::vector<Profile> profiles;
  if (usual != nullptr) profiles = profiles_of(plan, *usual, plan.usual_profiles);
  const auto has = [](const std::vector<Profile>& list, const Profile& profile) {
    return std::ranges::find(list, profile.name, &Profile::name) != list.end();
  };
  for (const Profile& profile : asked) {
    if (!has(profiles, profile)) profiles.push_back(profile);
  }
  for (const EvalOptions& part : scenario.parts) {
    for (const Profile& profile : profiles) {
      runs.push_back({.scenario = &scenario, .profile = profile, .options = part});
      runs.back().options.is_recalled = !has(asked, profile);
    }
  }
}

std::vector<Run> runs_of(const ReportPlan& plan) {
  std::vector<Run> runs;
  for (const Scenario& scenario : plan.all_scenarios) {
    add_runs(plan, find(plan.scenarios, scenario.name), &scenario, runs);
  }
  for (const Scenario& scenario : plan.scenarios) {
    if (find(plan.all_scenarios, scenario.name) == nullptr) {
      add_runs(plan, &scenario, nullptr, runs);
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
  const std::string own = run.profile.adds_trained ? own_policy(info) : "";
  return run.profile.policies + (own.empty() ? "" : "," + own);
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

void add_failure(ReportResults& results, const ReportFailure& failure) {
  results.failures.push_back(failure);
  note(fmt::format("{}: {}", failure.part, failure.reason));
}

/// What profiles have in common is kept once: one of which a policy is missing was not asked for.
bool is_whole(const Run& run, const OutputJson& rows) {
  const std::vector<std::string> policies = parse_list("--policies", run.options.policies);
  return std::ranges::all_of(policies, [&rows](const std::string& policy) {
    return std::ranges::any_of(
        rows, [&policy](const OutputJson& row) { return row["policy"] == policy; });
  });
}

/// Of each folder the policies that this report has measured: later profiles have them too.
using Renewed = std::map<std::string, std::set<std::string>>;

void measure(const ReportPlan& plan, Run& run, Renewed& renewed, ReportResults& results) {
  run.options.out = folder_of(plan, run);
  run.options.force = plan.force && !run.options.is_recalled;
  run.options.keeps_others = true;
  std::set<std::string>& policies = renewed[run.options.out];
  run.options.renewed = policies;
  evaluate(run.options, [&](const EvalReport& report, const ModelInfo&) {
    for (const OutputJson& row : report.rows) policies.insert(row["policy"].get<std::string>());
    if (report.rows.empty()) return false;
    if (run.options.is_recalled && !is_whole(run, report.rows)) return false;
    note_idle_policies(report.rows, "policy");
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
                    Renewed& renewed,
                    const InterruptFlag& interrupt,
                    ReportResults& results) {
  run.options.policies = policies_of(run);
  while (true) {
    if (!run.options.is_recalled && interrupt.is_set()) throw Interrupted();
    try {
      return measure(plan, run, renewed, results);
    } catch (const InputError& error) {
      const std::string policy = policy_of(error);
      const std::string rest = policy.empty() ? "" : without(run.options.policies, policy);
      if (rest.empty() || rest == run.options.policies) throw;
      if (!run.options.is_recalled) {
        add_failure(results,
                    {.part = fmt::format("{}, {}", run.name(), policy),
                     .reason = reason_of(error, run),
                     .is_policy = true});
      }
      run.options.policies = rest;
    }
  }
}

/// Whether an earlier report has left something of it.
bool is_kept(const ReportPlan& plan, const Run& run) {
  std::error_code ignored;
  return std::filesystem::exists(eval::Store::file_in(folder_of(plan, run)), ignored);
}

void recall(const ReportPlan& plan,
            Run& run,
            const InterruptFlag& interrupt,
            ReportResults& results) {
  if (!is_kept(plan, run)) return;
  Renewed none;
  try {
    measure_others(plan, run, none, interrupt, results);
  } catch (const Error& error) {
    note(fmt::format("{}: what {} holds of it is not shown: {}",
                     run.name(),
                     folder_of(plan, run),
                     reason_of(error, run)));
  }
}

}  // namespace

ReportResults run_report(const ReportPlan& plan) {
  std::vector<Run> runs = runs_of(plan);
  ReportResults results;
  results.is_forced = plan.force;
  results.wanted = static_cast<size_t>(
      std::ranges::count_if(runs, [](const Run& run) { return !run.options.is_recalled; }));
  Renewed renewed;
  const InterruptFlag interrupt;  // an evaluation has its own only while it measures
  size_t count = 0;
  for (Run& run : runs) {
    run.options.is_recalled |= results.is_interrupted;
    if (run.options.is_recalled) {
      recall(plan, run, interrupt, results);
      continue;
    }
    try {
      run.options.caption = fmt::format("report {} of {}: {}", ++count, results.wanted, run.name());
      measure_others(plan, run, renewed, interrupt, results);
    } catch (const Interrupted&) {
      results.is_interrupted = true;
    } catch (const Error& error) {
      add_failure(results, {.part = run.name(), .reason = reason_of(error, run)});
    } catch (const std::bad_alloc&) {
      add_failure(results, {.part = run.name(), .reason = out_of_memory().what()});
    }
  }
  return results;
}

}  // namespace dms::cli
