// dms report: scenarios under profiles of policies, as one table and one page.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/output_file.h"
#include "cli/command.h"
#include "cli/declare.h"
#include "cli/eval_run.h"
#include "cli/list_option.h"
#include "cli/output.h"
#include "cli/output_options.h"
#include "cli/parse.h"
#include "cli/report_output.h"
#include "cli/report_run.h"
#include "cli/scenario_file.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kDefaultFolder = "dms-report";
constexpr std::array kForms{"report.csv", "report.md", "report.html"};  // in the folder

struct Options {
  std::string file;
  std::string out;
  std::string scenarios;
  std::string profiles;
  bool force = false;
  std::string csv;
  std::string html;
  bool json = false;
};

std::string from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Names with commas or spaces between them.
std::vector<std::string> names_of(const std::string& where, std::string text) {
  std::vector<std::string> names;
  std::string name;
  for (const char c : text + ",") {
    if (c != ',' && c != ' ') {
      name += c;
    } else if (!name.empty()) {
      names.push_back(std::exchange(name, ""));
    }
  }
  if (names.empty() && !text.empty()) throw InputError({.where = where, .what = "no name"});
  return names;
}

bool is_forced(const Options& options) {
  if (options.force) return true;
  const std::string text = from_environment("FORCE_RERUN");
  if (text.empty() || text == "0") return false;
  if (text == "1") return true;
  throw InputError(
      {.where = "FORCE_RERUN", .what = "bad value", .got = text, .expected = "0 or 1"});
}

/// An option, or the variable that stands for it; `where` becomes what names it.
std::string option_or(const std::string& option, const char* variable, std::string& where) {
  if (!option.empty()) return option;
  std::string value = from_environment(variable);
  if (!value.empty()) where = variable;
  return value;
}

/// What to run. Scenarios are chosen by name, or defined in the variable SCENARIOS.
ReportPlan plan_of(const Options& options, ScenarioFile& file) {
  std::string where = "--scenarios";
  const std::string scenarios = option_or(options.scenarios, "SCENARIOS", where);
  const bool are_defined = scenarios.find('=') != std::string::npos;
  if (options.file.empty() && !are_defined) {
    throw InputError({.where = "SCENARIOS.yaml", .what = "missing", .expected = "a YAML file"});
  }
  file.profiles = built_in_profiles();
  if (!options.file.empty()) file = read_scenario_file(options.file);
  ReportPlan plan{.scenarios = are_defined ? parse_scenarios(scenarios, where)
                                           : choose_scenarios(
                                                 file.scenarios, names_of(where, scenarios), where),
                  .profiles = {},
                  .known = file.profiles,
                  .all_scenarios = file.scenarios,
                  .usual_profiles = file.profiles};
  where = "--profiles";
  std::vector<std::string> profiles =
      names_of(where, option_or(options.profiles, "PROFILES", where));
  const bool are_chosen = !profiles.empty();
  plan.profiles = choose_profiles(file.profiles, profiles, where);
  const auto is_built_in = [](const Profile& profile) { return profile.where.empty(); };
  const bool has_own = !std::ranges::all_of(file.profiles, is_built_in);
  if (has_own) std::erase_if(plan.usual_profiles, is_built_in);
  if (!are_chosen) plan.profiles = plan.usual_profiles;
  if (are_chosen) {
    for (Scenario& scenario : plan.scenarios) scenario.profiles = profiles;
  }
  plan.folder = option_or(options.out, "OUTPUT_ROOT", where);
  if (plan.folder.empty()) plan.folder = file.output.empty() ? kDefaultFolder : file.output;
  plan.force = is_forced(options);
  return plan;
}

/// What the folder has in other forms is not to be written over; the same form may be.
void check_copies(const Options& options, const ReportPlan& plan) {
  const auto require_other = [&](const char* option, const std::string& file, const char* own) {
    for (const char* form : kForms) {
      if (std::string_view(form) == own) continue;
      require_distinct({{form, plan.folder / form}, {option, file}});
    }
  };
  require_other("--csv", options.csv, kForms[0]);
  require_other("--html", options.html, kForms[2]);
}

void write_forms(const Options& options, const ReportPlan& plan, const ReportForms& forms) {
  std::error_code exists;
  std::filesystem::create_directories(plan.folder, exists);
  write_text_file(plan.folder / kForms[0], forms.csv);
  write_text_file(plan.folder / kForms[1], forms.markdown);
  write_text_file(plan.folder / kForms[2], forms.html);
  if (!options.csv.empty()) write_text_file(options.csv, forms.csv);
  if (!options.html.empty()) write_text_file(options.html, forms.html);
  if (options.json) {
    print_json(forms.json);
  } else {
    print(forms.summary);
    print(fmt::format("\n{}\n", (plan.folder / "report.html").string()));
  }
}

/// "1 of 5 evaluations failed, 2 policies were refused: …"; each was told with its reason before.
std::string failures_of(const ReportResults& results) {
  constexpr size_t kMostNamed = 6;
  std::vector<std::string> counts;
  std::vector<std::string> names;
  const auto refused = std::ranges::count(results.failures, true, &ReportFailure::is_policy);
  const auto failed = std::ssize(results.failures) - refused;
  if (failed > 0) {
    counts.push_back(fmt::format(
        "{} of {} failed", failed, counted(static_cast<int64_t>(results.wanted), "evaluation")));
  }
  if (refused > 0) {
    counts.push_back(fmt::format(
        "{} refused", refused == 1 ? "1 policy was" : fmt::format("{} policies were", refused)));
  }
  for (const ReportFailure& failure : results.failures) {
    if (names.size() < kMostNamed) names.push_back(failure.part);
  }
  if (names.size() < results.failures.size()) {
    names.push_back(fmt::format("and {} more", results.failures.size() - names.size()));
  }
  return fmt::format("{}: {}", fmt::join(counts, ", "), fmt::join(names, "; "));
}

void report(const Options& options) {
  check_report_files(options.csv, options.html, "");
  ScenarioFile file;
  const ReportPlan plan = plan_of(options, file);
  check_copies(options, plan);
  const ReportResults results = run_report(plan);
  const std::string title = file.title.empty() ? "dms report" : file.title;
  write_forms(options, plan, render_report(title, results));
  if (results.is_interrupted) {
    end_as_interrupted(
        fmt::format("what was measured is in {}; {}", plan.folder.string(), next_of(results)));
  }
  if (results.failures.empty()) return;
  throw RunError(
      {.what = failures_of(results),
       .hint = fmt::format("the results of the others are in {}", plan.folder.string())});
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_text(app, "SCENARIOS.yaml", options->file, "", "What to measure: docs/evaluation.md");
  add_text(
      app,
      "--out",
      options->out,
      "DIR",
      "Results, kept from run to run (default: the\nfile's output, or dms-report); OUTPUT_ROOT");
  add_flag(app, "--force", options->force, "Measure again what DIR holds; FORCE_RERUN=1");
  add_list(app, "--scenarios", options->scenarios, "Some of the file's; SCENARIOS");
  add_list(app,
           "--profiles",
           options->profiles,
           "balanced, quality or the file's own (default: what\nscenarios name, else the file's); "
           "PROFILES");
  add_text(app, "--csv", options->csv, "FILE", "Write the rows as CSV there too");
  add_text(app, "--html", options->html, "FILE", "Write the page there too");
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { report(*options); };
}

}  // namespace

Command report_command() {
  return {.name = "report",
          .summary = "Scenarios under profiles of policies, as one page",
          .examples =
              "  dms report scenarios.yaml --out results\n"
              "  dms report scenarios.yaml --profiles quality --scenarios wiki --force\n"
              "  OUTPUT_ROOT=results PROFILES=balanced dms report scenarios.yaml\n",
          .define = define};
}

}  // namespace dms::cli
