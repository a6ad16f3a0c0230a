#pragma once
// What a line of a chat asks for: a command, or an answer to a message.

#include <string>

namespace dms::cli {

enum class ChatVerb { kSay, kHelp, kRead, kReset, kUndo, kRetry, kStats, kSave, kLoad, kExit };

struct ChatLine {
  ChatVerb verb = ChatVerb::kSay;
  std::string argument = {};  // the message, or what follows the command's name
};

/// A line that begins with the name of a command is one, one that begins with two slashes the
/// message after the first of them, and most others are messages too ("/no_think hello",
/// "/etc/hosts"). Throws InputError where a name seems misspelt, or an unknown one stands alone.
ChatLine parse_chat_line(const std::string& line);

/// A line for each command, and for what else can be typed. Without a cache in this program,
/// messages alone are saved.
std::string chat_help(bool has_cache);

}  // namespace dms::cli
