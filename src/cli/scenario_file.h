#pragma once
// The scenarios of `dms report` and the profiles they are run under, from a YAML file.

#include <string>
#include <vector>

#include "cli/eval_options.h"

namespace dms::cli {

/// Policies that belong together, as --policies has them.
struct Profile {
  std::string name;
  std::string policies;
  bool adds_trained = false;  // and the model's own, where it has one
  std::string where{};        // in errors; empty: built in
};

struct Scenario {
  std::string name;
  std::vector<EvalOptions> parts{};  // an evaluation each, without policies and places for results
  std::vector<std::string> profiles{};  // empty: all that are asked for
};

struct ScenarioFile {
  std::string title{};
  std::string output{};             // empty: not said
  std::vector<Profile> profiles{};  // the built-in ones first; those of the file have a `where`
  std::vector<Scenario> scenarios{};
};

/// Throws InputError naming file, line and key.
ScenarioFile read_scenario_file(const std::string& path);

/// Scenarios as the variable SCENARIOS defines them: "name=a model=DIR measure=ppl text=FILE
/// lengths=2048,4096", one a line or between semicolons, or quoted in the brackets of a bash array.
/// Throws InputError.
std::vector<Scenario> parse_scenarios(const std::string& text, const std::string& where);

/// balanced and quality.
std::vector<Profile> built_in_profiles();

/// Those of these names, in their order; all where no name is given. Throws InputError on a name
/// that none has, and on one that is given twice.
std::vector<Profile> choose_profiles(const std::vector<Profile>& profiles,
                                     const std::vector<std::string>& names,
                                     const std::string& where);
std::vector<Scenario> choose_scenarios(const std::vector<Scenario>& scenarios,
                                       const std::vector<std::string>& names,
                                       const std::string& where);

}  // namespace dms::cli
