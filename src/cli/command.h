#pragma once
// What a command is: a name, its help, and a function that declares its options.

#include <functional>
#include <span>
#include <string_view>

namespace CLI {
class App;
}

namespace dms::cli {

/// Runs a command whose options have been read. Throws InputError or RunError.
using CommandBody = std::function<void()>;

struct Command {
  std::string_view name;
  std::string_view summary;
  std::string_view examples;         // under the options in --help
  CommandBody (*define)(CLI::App&);  // adds the options, returns what to run
};

/// All commands, in the order of the help (commands.cpp).
std::span<const Command> commands();

Command inspect_command();
Command tokenize_command();
Command generate_command();
Command chat_command();
Command document_command();
Command score_command();
Command serve_command();
Command bench_command();
Command eval_command();
Command report_command();
Command quantize_command();
Command calibrate_command();
Command train_command();
Command data_command();
Command extract_command();

}  // namespace dms::cli
