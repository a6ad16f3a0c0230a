#include "cli/outside_settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/input_file.h"
#include "base/suggest.h"
#include "cli/declare.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 20;
constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// A quoted value as it is; else up to a comment, which blanks part from it.
std::string value_of(std::string_view text, const std::string& where) {
  text = trimmed(text);
  if (text.starts_with('"') || text.starts_with('\'')) {
    const size_t end = text.find(text.front(), 1);
    if (end == std::string_view::npos) {
      throw InputError({.where = where, .what = "the quote is not closed"});
    }
    return std::string(text.substr(1, end - 1));
  }
  const size_t comment = std::min(text.find(" #"), text.find(" ;"));
  return std::string(trimmed(text.substr(0, comment)));
}

std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names = long_names(app);
  std::erase_if(names, [](const std::string& name) { return name == "help" || name == "config"; });
  return names;
}

void give(CLI::App& app, const std::string& option, const Setting& setting) {
  if (is_given(app, option)) return;  // what came before counts
  try {
    cli::give(app, option, setting.value);
  } catch (const InputError& error) {
    ErrorParts parts = error.parts();
    parts.where = setting.where;
    throw InputError(parts);
  }
}

void read_environment(CLI::App& app) {
  for (const std::string& name : names_of(app)) {
    std::string variable = "DMS_" + name;
    std::ranges::transform(variable, variable.begin(), [](unsigned char c) {
      return c == '-' ? '_' : static_cast<char>(std::toupper(c));
    });
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) continue;
    give(app, "--" + name, {.name = name, .value = value, .where = variable});
  }
}

}  // namespace

std::vector<Setting> parse_settings(std::string_view text, const std::string& file) {
  std::vector<Setting> settings;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(text.substr(begin, end - begin));
    const std::string where = file + ": line " + std::to_string(++number);
    begin = end + 1;
    if (line.empty() || line.front() == '#' || line.front() == ';' || line == "---") continue;
    const size_t separator = line.find_first_of(":=");
    std::string name(trimmed(line.substr(0, separator)));
    if (separator == std::string_view::npos || name.empty()) {
      throw InputError({.where = where, .what = "no setting", .expected = "NAME: VALUE"});
    }
    std::ranges::replace(name, '_', '-');
    settings.push_back({.name = std::move(name),
                        .value = value_of(line.substr(separator + 1), where),
                        .where = where});
  }
  return settings;
}

void read_outside_settings(CLI::App& app, const std::string& config_file) {
  read_environment(app);
  if (config_file.empty()) return;
  const std::vector<std::string> names = names_of(app);
  for (const Setting& setting :
       parse_settings(read_text_file(config_file, kMaxFileBytes), config_file)) {
    const bool is_model = setting.name == "model";
    if (!is_model && std::ranges::find(names, setting.name) == names.end()) {
      throw InputError({.where = setting.where,
                        .what = "unknown setting",
                        .got = setting.name,
                        .hint = did_you_mean(setting.name, names)});
    }
    give(app, is_model ? "MODEL" : "--" + setting.name, setting);
  }
}

}  // namespace dms::cli
