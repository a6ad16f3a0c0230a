#pragma once
// What is said in a chat: lines of a terminal or a pipe, put together to questions and commands.

#include <memory>
#include <string>

#include "cli/line_editor.h"

namespace dms::cli {

class ChatInput {
 public:
  ChatInput();
  ~ChatInput();

  /// Somebody sits there, sees prompts and may interrupt.
  bool is_interactive() const { return editor_ != nullptr; }

  /// The next question or command. Three double quotes begin a text of several lines and end it; at
  /// a terminal a backslash at a line's end goes on with the next one. Throws InputError on a
  /// text in a pipe that is too long for any context.
  Reading read();

 private:
  Reading read_line(const std::string& prompt);
  Reading read_block(std::string text);
  Reading read_continued(std::string text);

  std::unique_ptr<LineEditor> editor_;  // absent in a pipe
};

/// Takes the first word off `text`, with the white space around it; in quotes it may hold spaces.
std::string take_word(std::string& text);
/// A leading "~/" is the home folder.
std::string expand_home(const std::string& path);

}  // namespace dms::cli
