#pragma once
// Runs the scenarios of a report under its profiles, each by what `dms eval` has, and keeps going
// where one fails.

#include <filesystem>
#include <string>
#include <vector>

#include "cli/eval_report.h"
#include "cli/scenario_file.h"

namespace dms::cli {

/// One evaluation's results.
struct ReportPart {
  std::string scenario;
  std::string profile;
  EvalOptions options;
  EvalReport results{};
};

struct ReportFailure {
  std::string part;  // "wiki, balanced, kld 4096", and a policy where it alone failed
  std::string reason;
  bool is_policy = false;  // that was refused; the others of its evaluation were measured
};

struct ReportResults {
  std::vector<ReportPart> parts{};
  std::vector<ReportFailure> failures{};
  size_t wanted = 0;  // evaluations that are asked for
  bool is_interrupted = false;
  bool is_forced = false;
};

struct ReportPlan {
  std::vector<Scenario> scenarios;  // what is to be measured
  std::vector<Profile> profiles;    // those that scenarios without a list of their own run under
  std::vector<Profile> known{};     // all
  // What else an earlier run may have left in the folder, in the file's order: these scenarios
  // under these profiles, or their own lists. It is told beside what is asked for.
  std::vector<Scenario> all_scenarios{};
  std::vector<Profile> usual_profiles{};
  std::filesystem::path folder{};  // results are kept in it and not measured again
  bool force = false;              // but then what is asked for is
};

/// What fails is told on standard error at once; a Ctrl-C ends it with what is done until then.
ReportResults run_report(const ReportPlan& plan);

}  // namespace dms::cli
