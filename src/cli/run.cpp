#include "cli/run.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kBadInput = 2;
constexpr int kClosedPipe = 128 + SIGPIPE;

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_name(name, candidates);
  return nearest.empty() ? "" : fmt::format("did you mean {}?", nearest);
}

std::string overview() {
  std::string text =
      "dms: run language models over a KV cache that keeps only what matters\n\n"
      "Usage: dms COMMAND [ARGUMENTS]\n\nCommands:\n";
  for (const Command& command : commands()) {
    text += fmt::format("  {:<10}{}\n", command.name, command.summary);
  }
  return text +
         "\n`dms COMMAND --help` lists the options with examples, `dms --version` prints\n"
         "the version.\n";
}

const Command& find_command(const std::string& name) {
  const auto list = commands();
  const auto found = std::ranges::find(list, name, &Command::name);
  if (found != list.end()) return *found;
  std::vector<std::string> names;
  for (const Command& command : list) names.emplace_back(command.name);
  const std::string guess = did_you_mean(name, names);
  throw InputError({.where = "command",
                    .what = "unknown",
                    .got = fmt::format("'{}'", name),
                    .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                    .hint = guess});
}

void check_extras(const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining();
  if (extras.empty()) return;
  const auto option = std::ranges::find_if(
      extras, [](const std::string& text) { return text.size() > 1 && text[0] == '-'; });
  if (option == extras.end()) {
    throw InputError({.where = app.get_name(),
                      .what = "too many arguments",
                      .got = fmt::format("'{}'", extras.front()),
                      .expected = "options; see --help"});
  }
  const std::string name = option->substr(0, option->find('='));
  std::vector<std::string> known;
  for (const CLI::Option* candidate : app.get_options()) {
    for (const std::string& long_name : candidate->get_lnames()) known.push_back("--" + long_name);
  }
  const std::string guess = did_you_mean(name, known);
  throw InputError({.where = name,
                    .what = "unknown option",
                    .hint = guess.empty() ? "see " + app.get_name() + " --help" : guess});
}

/// CLI11 says "--threads: 1 required N missing".
[[noreturn]] void refuse(const CLI::App& app, const CLI::ParseError& error) {
  const std::string text = error.what();
  const size_t colon = text.find(": ");
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && colon != std::string::npos) {
    throw InputError({.where = text.substr(0, colon), .what = "needs a value"});
  }
  throw InputError({.where = app.get_name(), .what = text});
}

void run_command(const Command& command, std::span<const std::string> arguments) {
  CLI::App app(std::string(command.summary), fmt::format("dms {}", command.name));
  app.footer("\nExamples:\n" + std::string(command.examples));
  app.set_help_flag("-h,--help", "Print this help");
  app.allow_extras();                     // so that check_extras can say what was meant
  app.get_formatter()->column_width(28);  // leaves 52 of a terminal's 80
  const CommandBody body = command.define(app);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    print(app.help());
    return;
  } catch (const CLI::ParseError& error) {
    refuse(app, error);
  }
  check_extras(app);
  check_standard_input(app);
  body();
}

void dispatch(std::span<const std::string> arguments) {
  if (arguments.empty()) {
    throw InputError({.where = "command", .what = "missing", .hint = "see dms --help"});
  }
  const std::string& first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    print(overview());
  } else if (first == "--version") {
    print(fmt::format("dms {}\n", DMS_VERSION));
  } else {
    run_command(find_command(first), arguments.subspan(1));
  }
}

int report(const Error& error, int status) {
  print_error(error);
  return status;
}

/// As if the signal had not been ignored: the shell sees what other tools end with.
int end_by_closed_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  return kClosedPipe;
}

}  // namespace

int run(std::span<const std::string> arguments) {
  // A closed pipe and a file that may not grow are then failed writes, and files are cleaned up.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    dispatch(arguments);
    flush_output();
    return 0;
  } catch (const ClosedPipe&) {
    return end_by_closed_pipe();
  } catch (const InputError& error) {
    return report(error, kBadInput);
  } catch (const Error& error) {
    return report(error, kFailed);
  } catch (const std::bad_alloc&) {
    return report(out_of_memory(), kFailed);
  } catch (const std::exception& error) {
    return report(RunError({.where = "internal error", .what = error.what()}), kFailed);
  }
}

}  // namespace dms::cli
