#include "grammar/ebnf.h"

#include <algorithm>

#include <fmt/format.h>

namespace dms::grammar {
namespace {

constexpr std::string_view kAnyCharacter = "[\\u0001-\\U0010ffff]";

bool is_name_character(char c) {
  return c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

/// The end of the string, class or comment that begins at `begin`.
size_t end_of_quoted(std::string_view text, size_t begin) {
  const char opening = text[begin];
  const char closing = opening == '[' ? ']' : opening == '#' ? '\n' : '"';
  size_t at = begin + 1;
  while (at < text.size() && text[at] != closing) {
    const bool is_escape = text[at] == '\\' && closing != '\n';
    at += is_escape ? 2U : 1U;
  }
  return std::min(at + 1, text.size());
}

}  // namespace

std::string ebnf_of_choices(std::span<const std::string> choices) {
  std::string out = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) out += " | ";
    out += quoted(choice);
  }
  return out + "\n";
}

std::string ebnf_of_gbnf(std::string_view gbnf) {
  std::string out;
  size_t at = 0;
  while (at < gbnf.size()) {
    const char c = gbnf[at];
    if (c == '"' || c == '[' || c == '#') {
      const size_t end = end_of_quoted(gbnf, at);
      out += gbnf.substr(at, end - at);
      at = end;
      continue;
    }
    const bool follows_name = at > 0 && is_name_character(gbnf[at - 1]);
    const bool precedes_name = at + 1 < gbnf.size() && is_name_character(gbnf[at + 1]);
    if (c == '.' && !follows_name && !precedes_name) {
      out += kAnyCharacter;
    } else {
      out += c;
    }
    ++at;
  }
  return out;
}

}  // namespace dms::grammar
