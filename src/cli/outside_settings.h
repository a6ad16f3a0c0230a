#pragma once
// Options that are not given on the command line, from the environment and from a file: those of a
// program that no person starts.

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace dms::cli {

struct Setting {
  std::string name;  // an option's long name without dashes
  std::string value;
  std::string where;  // "serve.yaml: line 3"
};

/// "name: value" or "name = value" a line, as flat YAML and INI files have them; values may be
/// quoted, '#' and ';' begin comments. Throws InputError naming the line.
std::vector<Setting> parse_settings(std::string_view text, const std::string& file);

/// Gives options that have no value yet that of DMS_NAME in the environment (--api-key:
/// DMS_API_KEY), and then that of `config_file` (empty: none). Throws InputError on a name that is
/// no option's, and as the options do.
void read_outside_settings(CLI::App& app, const std::string& config_file);

}  // namespace dms::cli
