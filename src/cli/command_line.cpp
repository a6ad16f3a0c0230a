#include "cli/command_line.h"

#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/declare.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

/// CLI11 says "--threads: 1 required N missing".
[[noreturn]] void refuse(const CLI::App& app, const CLI::ParseError& error) {
  const std::string text = error.what();
  const size_t colon = text.find(": ");
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && colon != std::string::npos) {
    throw InputError({.where = text.substr(0, colon), .what = "needs a value"});
  }
  throw InputError({.where = app.get_name(), .what = text});
}

}  // namespace

CommandLine::CommandLine(const std::string& name,
                         const std::string& summary,
                         const std::string& examples)
    : app_(std::make_unique<CLI::App>(summary, name)) {
  app_->footer("\nExamples:\n" + examples);
  app_->set_help_flag("-h,--help", "Print this help");
  app_->allow_extras();                     // so that check_extras can say what was meant
  app_->get_formatter()->column_width(28);  // leaves 52 of a terminal's 80
}

CommandLine::~CommandLine() = default;

std::optional<std::string> CommandLine::read(std::span<const std::string> arguments) {
  try {
    app_->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return app_->help();
  } catch (const CLI::ParseError& error) {
    refuse(*app_, error);
  }
  check_extras();
  return std::nullopt;
}

void CommandLine::check_extras() const {
  const std::vector<std::string> extras = app_->remaining();
  if (extras.empty()) return;
  const auto option = std::ranges::find_if(
      extras, [](const std::string& text) { return text.size() > 1 && text[0] == '-'; });
  if (option == extras.end()) {
    throw InputError({.where = app_->get_name(),
                      .what = "too many arguments",
                      .got = fmt::format("'{}'", extras.front()),
                      .expected = "options; see --help"});
  }
  const std::string name = option->substr(0, option->find('='));
  std::vector<std::string> known;
  for (const std::string& long_name : long_names(*app_)) known.push_back("--" + long_name);
  const std::string guess = did_you_mean(name, known);
  throw InputError({.where = name,
                    .what = "unknown option",
                    .hint = guess.empty() ? "see " + app_->get_name() + " --help" : guess});
}

}  // namespace dms::cli
