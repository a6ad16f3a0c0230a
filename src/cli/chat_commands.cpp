#include "cli/chat_commands.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/chat_input.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Command {
  std::string_view name;
  ChatVerb verb;
  std::string_view arguments;
  std::string_view help;  // empty: another name for one above it
};

constexpr std::array kCommands{
    Command{"/help", ChatVerb::kHelp, "", "these lines"},
    Command{"/read", ChatVerb::kRead, "FILE [TEXT]", "ask about a file: its text, then TEXT"},
    Command{"/undo", ChatVerb::kUndo, "", "forget the last question and its answer"},
    Command{"/retry", ChatVerb::kRetry, "", "answer the last question again, with another seed"},
    Command{"/reset", ChatVerb::kReset, "", "forget the conversation"},
    Command{"/stats", ChatVerb::kStats, "", "tokens, memory and speed"},
    Command{"/save", ChatVerb::kSave, "FILE", "write messages and cache; FILE.json: messages"},
    Command{"/load", ChatVerb::kLoad, "FILE", "go on with what /save wrote"},
    Command{"/exit", ChatVerb::kExit, "", "leave (as does Ctrl-D)"},
    Command{"/quit", ChatVerb::kExit, "", ""},
};

/// Nobody means a path, or a text, by it.
bool is_plain_word(std::string_view name) {
  return name.size() > 1 && std::ranges::all_of(name.substr(1), [](unsigned char c) {
           return std::islower(c) != 0 || c == '_' || c == '-';
         });
}

void refuse_misspelt(const std::string& name, bool is_alone) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  const std::string nearest = nearest_name(name, names);
  if (nearest.empty() && !(is_alone && is_plain_word(name))) return;
  const std::string guess = nearest.empty() ? "" : "did you mean " + nearest + "? ";
  throw InputError({.where = name,
                    .what = "unknown command",
                    .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                    .hint = fmt::format("{}A message may begin with /{}", guess, name)});
}

}  // namespace

ChatLine parse_chat_line(const std::string& line) {
  if (line.starts_with("//")) return {.argument = line.substr(1)};
  if (!line.starts_with('/')) return {.argument = line};
  std::string rest = line;
  const std::string name = take_word(rest);
  const auto* command = std::ranges::find(kCommands, name, &Command::name);
  if (command != kCommands.end()) return {.verb = command->verb, .argument = std::move(rest)};
  refuse_misspelt(name, rest.empty());
  return {.argument = line};
}

std::string chat_help(bool has_cache) {
  std::string text;
  const auto add = [&text](const std::string& typed, std::string_view help) {
    text += fmt::format("{:<17} {}\n", typed, help);
  };
  for (const Command& command : kCommands) {
    if (command.help.empty()) continue;
    const bool saves_messages = command.verb == ChatVerb::kSave && !has_cache;
    const std::string_view space = command.arguments.empty() ? "" : " ";
    add(fmt::format("{}{}{}", command.name, space, command.arguments),
        saves_messages ? "write the messages, to FILE.json" : command.help);
  }
  add("//...", "a message that begins with one slash");
  add("\"\"\"", "begins a question of several lines, and ends it");
  add("\\", "at a line's end: the question goes on");
  return text + "Ctrl-C stops an answer, or clears the line.\n";
}

}  // namespace dms::cli
