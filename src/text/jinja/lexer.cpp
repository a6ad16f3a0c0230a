#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "text/jinja/text.h"

namespace dms::text::jinja {
namespace {

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

// Published templates have some thousands of tokens, and names of some tens of letters. What is
// proportional to tokens, the tree above all, and to names, every look-up, is bounded by these.
constexpr size_t kMaxTokens = 100'000;
constexpr size_t kMaxName = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Lexer {
 public:
  Lexer(std::string source, const Origin& origin) : source_(std::move(source)), origin_(origin) {}

  std::vector<Token> run() {
    if (!origin_.is_template) lex_expression();
    while (at_ < source_.size()) lex_text();
    add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool sees(std::string_view text) const { return rest().starts_with(text); }

  [[noreturn]] void fail(const std::string& what) const { origin_.fail(place_, what); }

  void advance(size_t bytes) {
    const std::string_view passed = rest().substr(0, bytes);
    place_ += static_cast<int>(origin_.is_template ? std::ranges::count(passed, '\n')
                                                   : count_characters(passed));
    if (!passed.empty()) line_starting_ = passed.back() == '\n';
    at_ += bytes;
  }

  void skip_space() { advance(rest().size() - strip_left(rest()).size()); }

  Token& add(Token::Kind kind, std::string text = {}) {
    if (tokens_.size() >= kMaxTokens) {
      fail(origin_.kind() + " too long (expected at most " + std::to_string(kMaxTokens) +
           " tokens)");
    }
    tokens_.push_back({.kind = kind, .place = place_, .text = std::move(text)});
    return tokens_.back();
  }

  size_t find_tag() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && std::string_view("{%#").find(source_[i + 1]) != std::string::npos) {
        return i;
      }
    }
    return std::string::npos;
  }

  char mark_at(size_t position) const {
    const char c = position < source_.size() ? source_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  /// The text before a tag, as the tag's mark and lstrip_blocks leave it.
  std::string_view before_tag(std::string_view text, char mark, bool strippable) const {
    if (mark == '-') return strip_right(text);
    if (mark == '+' || !strippable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_start == 0 && !line_starting_) return text;
    return strip_left(text.substr(line_start)).empty() ? text.substr(0, line_start) : text;
  }

  void add_text(std::string_view text) {
    if (!text.empty()) add(Token::Kind::kText, std::string(text));
  }

  void lex_text() {
    const size_t tag = find_tag();
    if (tag == std::string::npos) {
      add_text(rest());
      advance(rest().size());
      return;
    }
    const char type = source_[tag + 1];
    const char mark = mark_at(tag + 2);
    add_text(before_tag(rest().substr(0, tag - at_), mark, type != '{'));
    advance(tag - at_);
    const std::optional<size_t> raw = type == '%' ? raw_begin() : std::nullopt;
    if (raw) {
      advance(*raw);
      lex_raw();
      return;
    }
    advance(mark == '\0' ? 2 : 3);
    if (type == '#') {
      lex_comment();
    } else {
      lex_tag(type == '%');
    }
  }

  /// Bytes of a "{% raw %}" here, if there is one.
  std::optional<size_t> raw_begin() const {
    std::string_view text = rest().substr(mark_at(at_ + 2) == '\0' ? 2 : 3);
    text = strip_left(text);
    if (!text.starts_with("raw")) return std::nullopt;
    text = strip_left(text.substr(3));
    if (text.starts_with("-%}")) {
      text = strip_left(text.substr(3));
    } else if (text.starts_with("%}")) {
      text.remove_prefix(2);
    } else {
      return std::nullopt;
    }
    return rest().size() - text.size();
  }

  void lex_raw() {
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      const char mark = mark_at(tag + 2);
      const std::string_view inside =
          strip_left(std::string_view(source_).substr(tag + (mark == '\0' ? 2 : 3)));
      if (!inside.starts_with("endraw")) continue;
      const std::string_view end = strip_left(inside.substr(6));
      if (!end.starts_with("%}") && !end.starts_with("-%}") && !end.starts_with("+%}")) continue;
      add_text(before_tag(rest().substr(0, tag - at_), mark, true));
      advance(source_.size() - end.size() - at_);
      lex_tag_end("%}", true);
      return;
    }
    fail("missing end of raw block");
  }

  void lex_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail("missing end of comment");
    const char mark = end > at_ ? mark_at(end - 1) : '\0';
    advance(end - at_ - (mark == '\0' ? 0 : 1));
    lex_tag_end("#}", true);
  }

  /// Passes the end of a tag and the white space it takes with it. False if it is not here.
  bool lex_tag_end(std::string_view end, bool trims) {
    if (sees("-" + std::string(end))) {
      advance(1 + end.size());
      skip_space();
      return true;
    }
    if (trims && sees("+" + std::string(end))) {
      advance(1 + end.size());
      return true;
    }
    if (!sees(end)) return false;
    advance(end.size());
    if (trims && sees("\n")) advance(1);
    return true;
  }

  void lex_tag(bool block) {
    add(block ? Token::Kind::kBlockBegin : Token::Kind::kVariableBegin);
    brackets_.clear();
    for (skip_space(); at_ < source_.size(); skip_space()) {
      const int place = place_;
      if (brackets_.empty() && lex_tag_end(block ? "%}" : "}}", block)) {
        add(block ? Token::Kind::kBlockEnd : Token::Kind::kVariableEnd).place = place;
        return;
      }
      lex_token();
    }
  }

  void lex_expression() {
    for (skip_space(); at_ < source_.size(); skip_space()) lex_token();
  }

  void lex_token() {
    const char c = source_[at_];
    if (is_digit(c)) {
      lex_number();
    } else if (is_name_start(c)) {
      const size_t length = static_cast<size_t>(
          std::ranges::find_if(rest(), [](char x) { return !is_name_start(x) && !is_digit(x); }) -
          rest().begin());
      if (length > kMaxName) {
        fail("name too long (got " + std::to_string(length) + " characters, expected at most " +
             std::to_string(kMaxName) + ")");
      }
      add(Token::Kind::kName, std::string(rest().substr(0, length)));
      advance(length);
    } else if (c == '\'' || c == '"') {
      lex_string(c);
    } else {
      lex_operator();
    }
  }

  /// Digits at `from` with single underscores between them.
  size_t digits_end(size_t from) const {
    size_t end = from;
    while (end < source_.size() &&
           (is_digit(source_[end]) || (source_[end] == '_' && end > from &&
                                       end + 1 < source_.size() && is_digit(source_[end + 1])))) {
      ++end;
    }
    return end;
  }

  size_t fraction_end(size_t from) const {
    if (from >= source_.size() || source_[from] != '.') return from;
    const size_t end = digits_end(from + 1);
    return end == from + 1 ? from : end;
  }

  size_t exponent_end(size_t from) const {
    if (from >= source_.size() || (source_[from] != 'e' && source_[from] != 'E')) return from;
    const size_t first = from + 1 + (mark_at(from + 1) == '\0' ? 0 : 1);
    const size_t end = digits_end(first);
    return end == first ? from : end;
  }

  void lex_number() {
    const size_t whole = digits_end(at_);
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    const size_t end = after_dot ? whole : exponent_end(fraction_end(whole));
    std::string digits = source_.substr(at_, end - at_);
    std::erase(digits, '_');
    const char* last = digits.data() + digits.size();
    if (end > whole) {
      Token& token = add(Token::Kind::kFloat, digits);
      const auto [parsed, error] = std::from_chars(digits.data(), last, token.number);
      if (error != std::errc() || parsed != last) fail("number out of range: " + digits);
    } else {
      const bool octal_like = digits.size() > 1 && digits[0] == '0' &&
                              digits.find_first_not_of('0') != std::string::npos;
      Token& token = add(Token::Kind::kInteger, digits);
      const auto [parsed, error] = std::from_chars(digits.data(), last, token.integer);
      if (error != std::errc() || octal_like) fail("unsupported number: " + digits);
    }
    advance(end - at_);
  }

  void lex_string(char mark) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != mark) end += source_[end] == '\\' ? 2U : 1U;
    if (end >= source_.size()) fail("string without end");
    std::string text = unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
    add(Token::Kind::kString, std::move(text));
    advance(end + 1 - at_);
  }

  std::string unescape(std::string_view text) const {
    std::string out;
    while (!text.empty()) {
      if (text[0] != '\\') {
        out += text[0];
        text.remove_prefix(1);
        continue;
      }
      text.remove_prefix(1);
      append_escape(out, text);
    }
    return out;
  }

  /// Takes one escape sequence, without its backslash, from the front of `text`.
  void append_escape(std::string& out, std::string_view& text) const {
    constexpr std::string_view kLetters = "\\'\"abfnrtv";
    constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";
    const char c = text[0];
    if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
      out += kMeaning[known];
      text.remove_prefix(1);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      append_code_point(out, text.substr(1, length), length, 16);
      text.remove_prefix(1 + length);
    } else if (c >= '0' && c <= '7') {
      const size_t length = std::min({text.find_first_not_of("01234567"), text.size(), size_t{3}});
      append_code_point(out, text.substr(0, length), length, 8);
      text.remove_prefix(length);
    } else if (c == 'N') {
      fail("unsupported escape \\N in a string");
    } else if (c == '\n') {
      text.remove_prefix(1);
    } else {
      out += '\\';  // an unknown escape stays as it is written
    }
  }

  void append_code_point(std::string& out, std::string_view digits, size_t length, int base) const {
    uint32_t value = 0;
    const char* last = digits.data() + digits.size();
    const auto [end, error] = std::from_chars(digits.data(), last, value, base);
    const bool surrogate = value >= 0xD800 && value < 0xE000;
    if (digits.size() != length || error != std::errc() || end != last || value > 0x10FFFF ||
        surrogate) {
      fail("bad escape in a string");
    }
    append_utf8(out, value);
  }

  void lex_operator() {
    constexpr std::array<std::string_view, 6> kLong{"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view text : kLong) {
      if (!sees(text)) continue;
      add(Token::Kind::kOperator, std::string(text));
      advance(text.size());
      return;
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}<>=.:|,;").find(c) == std::string_view::npos) {
      fail("unexpected character " + quote(rest().substr(0, character_bytes(rest()))));
    }
    balance(c);
    add(Token::Kind::kOperator, std::string(1, c));
    advance(1);
  }

  void balance(char c) {
    constexpr std::string_view kOpen = "([{";
    constexpr std::string_view kClose = ")]}";
    if (const size_t open = kOpen.find(c); open != std::string_view::npos) {
      brackets_ += kClose[open];
    } else if (kClose.find(c) != std::string_view::npos) {
      if (brackets_.empty() || brackets_.back() != c) fail(std::string("unexpected '") + c + "'");
      brackets_.pop_back();
    }
  }

  std::string source_;
  const Origin& origin_;
  std::vector<Token> tokens_;
  std::string brackets_;  // closing ones still expected
  size_t at_ = 0;
  int place_ = 1;  // line or column
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const Origin& origin) {
  return Lexer(normalize_newlines(source), origin).run();
}

}  // namespace dms::text::jinja
