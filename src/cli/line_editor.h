#pragma once
// Lines typed at a terminal, by libedit: editing keys, a history, lines of any length (the
// terminal's own line mode cuts them at 4,095 bytes), and pastes that keep their line ends
// (bracketed paste).

#include <memory>
#include <string>

namespace dms::cli {

/// What reading gave. kInterrupt: Ctrl-C; `text` is then what it cleared. kEnd: Ctrl-D, or no more
/// input.
struct Reading {
  enum class Kind { kText, kInterrupt, kEnd };
  Kind kind = Kind::kEnd;
  std::string text = {};
  bool quoted = false;  // not a command, whatever it begins with
};

class LineEditor {
 public:
  /// Standard input must be a terminal. The prompt goes to standard output, or where that is no
  /// terminal to standard error.
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// One line without its end; pasted ones may hold several. While it runs Ctrl-C is a key.
  Reading read(const std::string& prompt);
  /// Puts a text into the history.
  void remember(const std::string& text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dms::cli
