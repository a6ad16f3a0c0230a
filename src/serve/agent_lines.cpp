#include "serve/agent_lines.h"

#include <algorithm>
#include <array>

namespace dms::serve {
namespace {

enum class Rest { kAnything, kMoment };

struct AgentLine {
  std::string_view begins;  // blanks may stand before it
  Rest rest;
};

constexpr std::array kAgentLines{
    AgentLine{"x-anthropic-billing-header:", Rest::kAnything},  // Claude Code
    AgentLine{"Today's date:", Rest::kMoment},                  // Claude Code, opencode, Crush
    AgentLine{"Today's date is ", Rest::kMoment},       // Claude Code, Gemini CLI, Qwen Code
    AgentLine{"The current date is ", Rest::kMoment},   // goose
    AgentLine{"Conversation started:", Rest::kMoment},  // Hermes Agent
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_of_moment(char c) {
  constexpr std::string_view kMarks = " ,.:/-+()'";
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kMarks.find(c) != std::string_view::npos;
}

/// A date, a time or both, however it is written; a sentence that goes on is none.
bool is_moment(std::string_view text) {
  constexpr size_t kLongest = 80;
  return text.size() <= kLongest && std::ranges::any_of(text, is_digit) &&
         std::ranges::all_of(text, is_of_moment);
}

bool is_agent_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::ranges::any_of(kAgentLines, [line](const AgentLine& known) {
    return line.starts_with(known.begins) &&
           (known.rest == Rest::kAnything || is_moment(line.substr(known.begins.size())));
  });
}

}  // namespace

std::string without_agent_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const size_t bytes = std::min(end + 1, text.size());
    if (!is_agent_line(text.substr(0, end))) out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out;
}

void strip_agent_lines(ChatRequest& chat) {
  std::erase_if(chat.messages, [](ChatMessage& message) {
    if (message.role != "system" && message.role != "developer") return false;
    const bool held_text = !message.content.empty();
    message.content = without_agent_lines(message.content);
    return held_text && message.content.empty();
  });
}

}  // namespace dms::serve
