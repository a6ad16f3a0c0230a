#include "grammar/ebnf.h"

#include <algorithm>
#include <utility>

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

bool is_hexadecimal(std::string_view digits) {
  return std::ranges::all_of(digits, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

/// A string or class of GBNF, whose \x has two digits: EBNF's goes on. In EBNF's strings there are
/// no
/// \[ and \].
std::string ebnf_of_quoted(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view escape = text.substr(at, 2);
    if (escape == "\\x" && text.size() - at >= 4 && is_hexadecimal(text.substr(at + 2, 2))) {
      out += "\\u00";
    } else if (text.front() == '"' && (escape == "\\[" || escape == "\\]")) {
      out += escape[1];
    } else {
      out += escape[0] == '\\' ? escape : escape.substr(0, 1);
    }
    if (escape[0] == '\\') ++at;
  }
  return out;
}

/// Writes what GBNF allows and EBNF does not as EBNF has it.
class GbnfReader {
 public:
  explicit GbnfReader(std::string_view gbnf) : gbnf_(gbnf) {}

  std::string ebnf() {
    while (at_ < gbnf_.size()) take_next();
    end_alternative();
    return std::move(out_);
  }

 private:
  void take_next() {
    const char c = gbnf_[at_];
    if (c == '"' || c == '[') {
      const size_t end = end_of_quoted(gbnf_, at_);
      out_ += ebnf_of_quoted(gbnf_.substr(at_, end - at_));
      at_ = end;
      is_empty_ = false;
    } else if (c == '#') {
      copy(end_of_quoted(gbnf_, at_) - at_);
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      copy(1);
    } else if (gbnf_.substr(at_).starts_with("::=")) {
      copy(3);
      begin_alternative(false);
    } else if (c == '|') {
      if (is_empty_) put_nothing();
      copy(1);
      begin_alternative(true);
    } else if (c == '(') {
      copy(1);
      begin_alternative(false);
    } else if (c == ')') {
      end_alternative();
      copy(1);
      is_empty_ = false;
    } else {
      take_word();
    }
  }

  /// A part of a name, a count or a mark.
  void take_word() {
    const char c = gbnf_[at_];
    const bool follows_name = at_ > 0 && is_name_character(gbnf_[at_ - 1]);
    const bool precedes_name = at_ + 1 < gbnf_.size() && is_name_character(gbnf_[at_ + 1]);
    if (!follows_name && begins_rule()) end_alternative();
    is_empty_ = false;
    if (c == '{' || c == '}') is_in_braces_ = c == '{';
    if (c == '.' && !follows_name && !precedes_name) {
      out_ += kAnyCharacter;
      ++at_;
      return;
    }
    const bool is_digit = c >= '0' && c <= '9';
    const bool follows_point = at_ > 0 && gbnf_[at_ - 1] == '.';
    // A name of EBNF's does not begin with one.
    if (is_digit && !follows_name && !follows_point && !is_in_braces_) out_ += '_';
    copy(1);
  }

  void copy(size_t bytes) {
    out_ += gbnf_.substr(at_, bytes);
    at_ += bytes;
  }

  bool begins_rule() const {
    size_t end = at_;
    while (end < gbnf_.size() && (is_name_character(gbnf_[end]) || gbnf_[end] == '.')) ++end;
    if (end == at_) return false;
    end = std::min(gbnf_.find_first_not_of(" \t", end), gbnf_.size());
    return gbnf_.substr(end).starts_with("::=");
  }

  void begin_alternative(bool follows_another) {
    begin_ = out_.size();
    is_empty_ = true;
    follows_another_ = follows_another;
  }

  void end_alternative() {
    if (is_empty_ && follows_another_) put_nothing();
  }

  void put_nothing() {
    out_.insert(begin_, " \"\"");
    is_empty_ = false;
  }

  std::string_view gbnf_;
  size_t at_ = 0;
  std::string out_;
  size_t begin_ = 0;  // of the alternative, in what is written
  bool is_empty_ = false;
  bool follows_another_ = false;
  bool is_in_braces_ = false;
};

}  // namespace

std::string ebnf_of_choices(std::span<const std::string> choices) {
  std::string out = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) out += " | ";
    out += quoted(choice);
  }
  return out + "\n";
}

std::string ebnf_of_gbnf(std::string_view gbnf) { return GbnfReader(gbnf).ebnf(); }

}  // namespace dms::grammar
