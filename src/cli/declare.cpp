#include "cli/declare.h"

#include <utility>

#include <CLI/CLI.hpp>

#include "cli/input.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kInputFile = "FILE";

/// "-n,--max-new-tokens" is called --max-new-tokens in errors.
std::string long_name(const std::string& names) {
  const size_t dashes = names.find("--");
  return dashes == std::string::npos ? names : names.substr(dashes);
}

}  // namespace

OptionGroup::OptionGroup(CLI::App& app, const std::string& heading) : app_(app) {
  app.option_defaults()->group(heading);
}

OptionGroup::~OptionGroup() { app_.option_defaults()->group("Options"); }

void add_argument(CLI::App& app,
                  const std::string& name,
                  std::string& target,
                  const std::string& help) {
  app.add_option(name, target, help)->type_name("");
}

void add_value(CLI::App& app,
               const std::string& names,
               const std::string& value_name,
               const std::string& help,
               std::function<void(const std::string& text)> read) {
  app.add_option_function<std::string>(names, std::move(read), help)
      ->type_name(value_name)
      ->take_last();
}

void add_values(CLI::App& app,
                const std::string& name,
                const std::string& value_name,
                const std::string& help,
                std::function<void(const std::vector<std::string>& texts)> read) {
  app.add_option_function<std::vector<std::string>>(name, std::move(read), help)
      ->type_name(value_name)
      ->expected(1)
      ->take_all();
}

void add_integer(CLI::App& app,
                 const std::string& names,
                 int64_t& target,
                 int64_t min,
                 int64_t max,
                 const std::string& help) {
  const auto read = [name = long_name(names), &target, min, max](const std::string& text) {
    target = parse_integer(name, text, min, max);
  };
  add_value(app, names, "N", help, read);
}

void add_integer_list(CLI::App& app,
                      const std::string& names,
                      std::vector<int64_t>& target,
                      int64_t min,
                      int64_t max,
                      const std::string& help) {
  const auto read = [name = long_name(names), &target, min, max](const std::string& text) {
    target = parse_integer_list(name, text, min, max);
  };
  add_value(app, names, "N,...", help, read);
}

void add_text(CLI::App& app,
              const std::string& names,
              std::string& target,
              const std::string& value_name,
              const std::string& help) {
  add_value(app, names, value_name, help, [&target](const std::string& text) { target = text; });
}

void add_input_file(CLI::App& app,
                    const std::string& names,
                    std::string& target,
                    const std::string& help) {
  add_text(app, names, target, kInputFile, help);
}

void add_input_file(CLI::App& app,
                    const std::string& names,
                    const std::string& help,
                    std::function<void(const std::string& text)> read) {
  add_value(app, names, kInputFile, help, std::move(read));
}

void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help) {
  app.add_flag(names, target, help);
}

void add_flag(CLI::App& app,
              const std::string& names,
              const std::string& help,
              std::function<void()> when_given) {
  app.add_flag_callback(names, std::move(when_given), help);
}

bool is_given(const CLI::App& app, const std::string& name) {
  return app.get_option(name)->count() > 0;
}

std::vector<std::string> long_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

void give(CLI::App& app, const std::string& name, const std::string& value) {
  CLI::Option& option = *app.get_option(name);
  try {
    option.add_result(value);
    option.run_callback();
  } catch (const CLI::ParseError& error) {
    throw InputError({.where = name, .what = error.what()});
  }
}

void check_standard_input(const CLI::App& app, const std::string& reader) {
  std::string first = reader;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_type_name() != kInputFile || option->empty()) continue;
    if (!is_standard_input(option->results().back())) continue;
    if (!first.empty()) {
      throw InputError({.where = option->get_name(),
                        .what = "standard input can be read once",
                        .got = first + " reads it too"});
    }
    first = option->get_name();
  }
}

}  // namespace dms::cli
