#include "cli/run.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <vector>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/declare.h"
#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kBadInput = 2;
constexpr int kClosedPipe = 128 + SIGPIPE;

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

void run_command(const Command& command, std::span<const std::string> arguments) {
  CommandLine line(fmt::format("dms {}", command.name),
                   std::string(command.summary),
                   std::string(command.examples));
  const CommandBody body = command.define(line.app());
  if (const auto help = line.read(arguments)) return print(*help);
  check_standard_input(line.app());
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
