#pragma once
// --set section.key=value: changes to a configuration that was read.

#include <string>
#include <vector>

#include "yaml/tree.h"

namespace dms::train::config {

/// Puts each "section.key=value" (the value in YAML) into `root`, over what stands there. Throws
/// InputError on a text of another form and where the path leads through something that is no
/// mapping; whether a key means something is found out when it is read.
void apply_overrides(const std::vector<std::string>& overrides, yaml::Node& root);

}  // namespace dms::train::config
