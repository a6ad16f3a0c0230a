#include "serve/agent_lines.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

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

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Weekdays and months, whole or as their first letters.
constexpr auto kDays = std::to_array<std::string_view>({"monday",
                                                        "tuesday",
                                                        "wednesday",
                                                        "thursday",
                                                        "friday",
                                                        "saturday",
                                                        "sunday",
                                                        "january",
                                                        "february",
                                                        "march",
                                                        "april",
                                                        "may",
                                                        "june",
                                                        "july",
                                                        "august",
                                                        "september",
                                                        "october",
                                                        "november",
                                                        "december"});

constexpr auto kWords = std::to_array<std::string_view>(
    {"am",   "pm",  "st",  "nd",   "rd",   "th",   "of",   "at",  "t",    "z",
     "utc",  "gmt", "est", "edt",  "cst",  "cdt",  "mst",  "mdt", "pst",  "pdt",
     "akst", "hst", "bst", "wet",  "west", "cet",  "cest", "eet", "eest", "msk",
     "ist",  "jst", "kst", "aest", "aedt", "nzst", "nzdt"});

bool is_word_of_moment(std::string_view word) {
  constexpr size_t kShortest = 3;
  std::string lower;
  for (const char c : word) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto is_short_for = [&](std::string_view day) { return day.starts_with(lower); };
  return std::ranges::find(kWords, lower) != kWords.end() ||
         (lower.size() >= kShortest && std::ranges::any_of(kDays, is_short_for));
}

/// A date, a time or both, however it is written: no other words, so that a sentence that goes on
/// is none.
bool is_moment(std::string_view text) {
  constexpr size_t kLongest = 80;
  constexpr std::string_view kMarks = " ,.:/-+()";
  constexpr std::string_view kNote = "(formatted according to the user's locale)";  // Gemini CLI's
  if (text.size() > kLongest || !std::ranges::any_of(text, is_digit)) return false;
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.ends_with(kNote)) text.remove_suffix(kNote.size());
  while (!text.empty()) {
    const auto letters = std::ranges::find_if_not(text, is_letter);
    const auto count = static_cast<size_t>(letters - text.begin());
    if (count == 0 && !is_digit(text[0]) && kMarks.find(text[0]) == std::string_view::npos) {
      return false;
    }
    if (count > 0 && !is_word_of_moment(text.substr(0, count))) return false;
    text.remove_prefix(std::max<size_t>(count, 1));
  }
  return true;
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
