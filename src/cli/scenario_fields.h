#pragma once
// One scenario or profile of a scenario file, from its place in the YAML tree.

#include <string>

#include "cli/scenario_file.h"
#include "yaml/tree.h"

namespace dms::cli {

/// `defaults` (nullptr: none): keys of all scenarios; those that this one's measures have no use
/// for are passed over. Throws InputError.
Scenario read_scenario(const yaml::Node& node, const yaml::Node* defaults, const std::string& file);

/// A list of policies, each as --policies has it or as a mapping with the key `policy`; `node`'s
/// key is the profile's name. Throws InputError.
Profile read_profile(const yaml::Node& node);

}  // namespace dms::cli
