#pragma once
// An option that is a list of names, which are read later.

#include <string>

namespace CLI {
class App;
}

namespace dms::cli {

/// Names with commas between them. An empty text, which would be taken for none given, is refused.
void add_list(CLI::App& app, const std::string& name, std::string& target, const std::string& help);

}  // namespace dms::cli
