#include "serve/pattern_characters.h"

#include <cstddef>

namespace dms::serve {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// What stands behind a backslash: classes without signs, characters and borders.
bool escape_may_hold(char letter, char c) {
  constexpr std::string_view kWithoutSigns = "dwsbBnrtfv";
  if (!is_letter_or_digit(letter)) return letter == c;
  return kWithoutSigns.find(letter) == std::string_view::npos;
}

/// Of a class from behind its '[', which `at` is left behind.
bool class_may_hold(std::string_view pattern, char c, size_t& at) {
  if (at < pattern.size() && pattern[at] == '^') return true;
  for (bool is_first = true; at < pattern.size(); is_first = false) {
    const char begin = pattern[at++];
    if (begin == ']' && !is_first) return false;
    if (begin == '[') return true;  // a class within: some languages have them
    if (begin == '\\') {
      if (at == pattern.size() || escape_may_hold(pattern[at++], c)) return true;
      if (at < pattern.size() && pattern[at] == '-') return true;
      continue;
    }
    const bool is_range = at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']';
    if (!is_range) {
      if (begin == c) return true;
      continue;
    }
    const char end = pattern[at + 1];
    const bool is_plain = is_letter_or_digit(begin) && is_letter_or_digit(end);
    if (!is_plain || (begin <= c && c <= end)) return true;
    at += 2;
  }
  return true;
}

}  // namespace

bool may_hold(std::string_view pattern, char c) {
  size_t at = 0;
  while (at < pattern.size()) {
    const char letter = pattern[at++];
    if (letter == '.' || letter == c) return true;
    if (letter == '\\' && (at == pattern.size() || escape_may_hold(pattern[at++], c))) return true;
    if (letter == '[' && class_may_hold(pattern, c, at)) return true;
  }
  return false;
}

}  // namespace dms::serve
