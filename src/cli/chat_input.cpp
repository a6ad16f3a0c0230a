#include "cli/chat_input.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kPrompt = "> ";
constexpr const char* kMorePrompt = ". ";
constexpr const char* kQuotes = "\"\"\"";
constexpr size_t kQuotesSize = 3;
constexpr size_t kMaxText = size_t{64} << 20;

void require_bounded(const std::string& text) {
  if (text.size() <= kMaxText) return;
  throw InputError({.where = "standard input",
                    .what = "question too long",
                    .expected = fmt::format("at most {} bytes", kMaxText)});
}

Reading read_piped_line() {
  std::string line;
  int c = 0;
  while ((c = std::getc(stdin)) != EOF && c != '\n') {
    line += static_cast<char>(c);
    require_bounded(line);
  }
  if (c == EOF && line.empty()) return {};
  if (line.ends_with('\r')) line.pop_back();
  return {.kind = Reading::Kind::kText, .text = std::move(line)};
}

}  // namespace

ChatInput::ChatInput() {
  if (stdin_is_terminal() && (stdout_is_terminal() || stderr_is_terminal())) {
    editor_ = std::make_unique<LineEditor>();
  }
}

ChatInput::~ChatInput() = default;

Reading ChatInput::read_line(const std::string& prompt) {
  return editor_ ? editor_->read(prompt) : read_piped_line();
}

Reading ChatInput::read_block(std::string text) {
  while (!text.ends_with(kQuotes)) {
    const Reading next = read_line(kMorePrompt);
    if (next.kind == Reading::Kind::kInterrupt) return {next.kind, text + next.text};
    if (next.kind == Reading::Kind::kEnd) {
      return {.kind = Reading::Kind::kText, .text = std::move(text), .quoted = true};
    }
    text += (text.empty() ? "" : "\n") + next.text;
    require_bounded(text);
  }
  text.resize(text.size() - kQuotesSize);
  if (text.ends_with('\n')) text.pop_back();
  return {.kind = Reading::Kind::kText, .text = std::move(text), .quoted = true};
}

Reading ChatInput::read_continued(std::string text) {
  while (text.ends_with('\\')) {
    text.back() = '\n';
    const Reading next = read_line(kMorePrompt);
    if (next.kind == Reading::Kind::kInterrupt) return {next.kind, text + next.text};
    if (next.kind == Reading::Kind::kEnd) break;
    text += next.text;
  }
  return {.kind = Reading::Kind::kText, .text = std::move(text)};
}

Reading ChatInput::read() {
  Reading reading = read_line(kPrompt);
  if (reading.kind != Reading::Kind::kText) return reading;
  if (reading.text.starts_with(kQuotes)) {
    reading = read_block(reading.text.substr(kQuotesSize));
  } else if (editor_) {
    reading = read_continued(std::move(reading.text));
  }
  if (editor_ && !reading.text.empty()) editor_->remember(reading.text);
  return reading;
}

std::string take_word(std::string& text) {
  constexpr const char* kSpace = " \t\n";
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  const bool quoted = text.starts_with('"') || text.starts_with('\'');
  const size_t begin = quoted ? 1 : 0;
  const size_t found = quoted ? text.find(text[0], 1) : text.find_first_of(kSpace);
  const size_t end = std::min(found, text.size());
  std::string word = text.substr(begin, end - begin);
  text.erase(0, quoted && found != std::string::npos ? end + 1 : end);
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  return word;
}

std::string expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? home + path.substr(1) : path;
}

}  // namespace dms::cli
