#include "text/regex_translate.h"

#include <cstdint>
#include <optional>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/unicode.h"

namespace dms::text {
namespace {

constexpr size_t kMaxPatternBytes = 4096;

void append_hex(std::string& out, uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\x{";
  int shift = 20;
  while (shift > 0 && (value >> shift & 0xF) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) out += kDigits[value >> shift & 0xF];
  out += '}';
}

void append_ranges(std::string& out, const CodePointSet& set) {
  for (const CodePointRange& range : set) {
    append_hex(out, range.first);
    if (range.last == range.first) continue;
    if (range.last > range.first + 1) out += '-';
    append_hex(out, range.last);
  }
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      switch (pattern_[at_]) {
        case '\\':
          escape_outside();
          break;
        case '[':
          bracket();
          break;
        case '(':
          group();
          break;
        case '{':
          interval();
          break;
        default:
          copy_character();
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void unsupported(std::string_view construct) const {
    throw InputError(
        {.where = where_,
         .what = "unsupported construct in a pattern",
         .got = std::string(construct),
         .expected = "literals, groups, repeats, look-around, brackets, \\p{category}"});
  }

  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void copy_character() {
    const size_t bytes = static_cast<size_t>(code_point_at(pattern_, at_).bytes);
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  // {n,m}: without a lower bound, or with + or ? behind it, the engines disagree.
  void interval() {
    const size_t close = pattern_.find('}', at_);
    const size_t bytes = close == std::string_view::npos ? 1 : close + 1 - at_;
    const char after = close == std::string_view::npos ? '\0' : peek(bytes);
    const bool counted = bytes > 2 && peek(1) >= '0' && peek(1) <= '9';
    if (!counted || after == '+' || after == '?') unsupported(pattern_.substr(at_, bytes + 1));
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  // Only groups that mean the same in both engines.
  void group() {
    if (peek(1) == '*') unsupported("(*");
    if (peek(1) != '?') {
      out_ += "(?:";  // nothing refers to captures, and PCRE2 runs faster without them
      ++at_;
      return;
    }
    for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
      if (pattern_.substr(at_).starts_with(opening)) {
        out_ += opening;
        at_ += opening.size();
        return;
      }
    }
    unsupported(pattern_.substr(at_, 4));
  }

  // A class named by the escape at at_ (\p{L}, \S, …), or nothing.
  std::optional<CodePointSet> class_escape() {
    const char letter = peek(1);
    const auto flag = [&](CodePointSet set, bool negated) {
      at_ += 2;
      return negated ? complement(set) : std::move(set);
    };
    switch (letter) {
      case 's':
      case 'S':
        return flag(flag_set(kSpace), letter == 'S');
      case 'w':
      case 'W':
        return flag(flag_set(kRegexWord), letter == 'W');
      case 'd':
      case 'D':
        return flag(*category_set("Nd"), letter == 'D');
      case 'p':
      case 'P':
        return property(letter == 'P');
      default:
        return std::nullopt;
    }
  }

  CodePointSet property(bool negated) {
    const size_t close = pattern_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) unsupported(pattern_.substr(at_, 3));
    std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    std::optional<CodePointSet> set = category_set(name);
    if (!set) unsupported(pattern_.substr(at_, close + 1 - at_));
    at_ = close + 1;
    return negated ? complement(*set) : std::move(*set);
  }

  // A single character written as an escape, or nothing.
  std::optional<uint32_t> character_escape() {
    const auto letter = static_cast<uint8_t>(peek(1));
    const auto take = [&](uint32_t value) {
      at_ += 2;
      return value;
    };
    switch (letter) {
      case 'n':
        return take('\n');
      case 'r':
        return take('\r');
      case 't':
        return take('\t');
      case 'f':
        return take('\f');
      case 'v':
        return take('\v');
      case 'x':
      case 'u':
        return hex_escape();
      default:
        break;
    }
    const bool punctuation =
        letter > ' ' && letter < 0x7F && (code_point_bits()[letter] & (kRegexWord | kSpace)) == 0;
    if (punctuation || letter == ' ' || letter == '_') return take(letter);
    return std::nullopt;
  }

  // \xHH, \x{H…} or \uHHHH.
  uint32_t hex_escape() {
    const size_t start = at_;
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const size_t most = braces ? 6 : peek(1) == 'u' ? 4 : 2;
    at_ += braces ? 3 : 2;
    uint32_t value = 0;
    size_t digits = 0;
    for (; digits < most; ++digits, ++at_) {
      const char c = peek();
      const bool number = c >= '0' && c <= '9';
      const char lower = static_cast<char>(c | 0x20);
      if (!number && (lower < 'a' || lower > 'f')) break;
      value = value * 16 + static_cast<uint32_t>(number ? c - '0' : lower - 'a' + 10);
    }
    const bool closed = !braces || peek() == '}';
    const bool complete = braces ? digits > 0 : digits == most;
    if (!closed || !complete || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      unsupported(pattern_.substr(start, 4));
    }
    if (braces) ++at_;
    return value;
  }

  void escape_outside() {
    if (const auto set = class_escape()) {
      append_class(*set);
    } else if (const auto value = character_escape()) {
      append_hex(out_, *value);
    } else if (peek(1) == 'A' || peek(1) == 'z') {
      out_ += pattern_.substr(at_, 2);
      at_ += 2;
    } else {
      unsupported(pattern_.substr(at_, 2));
    }
  }

  void append_class(const CodePointSet& set) {
    if (set.empty()) {
      out_ += "(?!)";
      return;
    }
    out_ += '[';
    append_ranges(out_, set);
    out_ += ']';
  }

  void bracket() {
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    CodePointSet set;
    for (bool first = true; first || peek() != ']'; first = false) {
      if (at_ >= pattern_.size()) unsupported("[ without ]");
      bracket_item(set, first);
    }
    ++at_;
    out_ += negated ? "[^" : "[";
    append_ranges(out_, normalized(std::move(set)));
    out_ += ']';
  }

  // One character, range or class inside brackets.
  void bracket_item(CodePointSet& set, bool first) {
    if (peek() == '[' || (peek() == '&' && peek(1) == '&') || (first && peek() == ']')) {
      unsupported(pattern_.substr(at_, 2));
    }
    if (peek() == '\\') {
      if (const auto escaped = class_escape()) {
        set.insert(set.end(), escaped->begin(), escaped->end());
        return;
      }
    }
    const uint32_t low = bracket_character();
    uint32_t high = low;
    if (peek() == '-' && peek(1) != ']') {
      ++at_;
      if (peek() == '\\' && std::string_view("sSwWdDpP").find(peek(1)) != std::string_view::npos) {
        unsupported(pattern_.substr(at_ - 1, 3));
      }
      high = bracket_character();
    }
    if (low > high) unsupported("a range that runs backwards");
    set.push_back({low, high});
  }

  uint32_t bracket_character() {
    if (at_ >= pattern_.size()) unsupported("[ without ]");
    if (peek() == '\\') {
      const auto value = character_escape();
      if (!value) unsupported(pattern_.substr(at_, 2));
      return *value;
    }
    const CodePoint next = code_point_at(pattern_, at_);
    at_ += static_cast<size_t>(next.bytes);
    return next.value;
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string translate_pattern(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kMaxPatternBytes) {
    throw InputError({.where = where,
                      .what = "pattern too long",
                      .got = std::to_string(pattern.size()) + " bytes",
                      .expected = "at most " + std::to_string(kMaxPatternBytes)});
  }
  return Translator(pattern, where).run();
}

}  // namespace dms::text
