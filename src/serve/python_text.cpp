#include "serve/python_text.h"

#include <array>
#include <string_view>
#include <utility>

namespace dms::serve {
namespace {

constexpr uint32_t kNoDigit = 99;
constexpr uint32_t kOctal = 8;
constexpr uint32_t kHex = 16;

uint32_t digit_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A') + 10;
  return kNoDigit;
}

}  // namespace

LiteralStep PythonText::push(char c, std::string& json) {
  switch (state_) {
    case State::kOpen:
      quote_ = c;
      json += '"';
      return go_to(State::kFirst);
    case State::kFirst:
      return push_first(c, json);
    case State::kEmpty:
      return push_empty(c, json);
    case State::kText:
      return push_text(c, json);
    case State::kEscape:
      return push_escape(c, json);
    default:
      return push_digit(c, json);
  }
}

LiteralStep PythonText::go_to(State state) {
  state_ = state;
  return LiteralStep::kMore;
}

LiteralStep PythonText::push_first(char c, std::string& json) {
  if (c == quote_) return go_to(State::kEmpty);
  state_ = State::kText;
  return push_text(c, json);
}

/// Two quotes: an empty text, or the beginning of a long one.
LiteralStep PythonText::push_empty(char c, std::string& json) {
  if (c != quote_) {
    json += '"';
    return LiteralStep::kOver;
  }
  is_long_ = true;
  return go_to(State::kText);
}

LiteralStep PythonText::end(std::string& json) {
  json += '"';
  return LiteralStep::kDone;
}

LiteralStep PythonText::push_text(char c, std::string& json) {
  constexpr int kQuotesOfLong = 3;
  if (c == quote_) {
    if (!is_long_ || ++quotes_ == kQuotesOfLong) return end(json);
    return LiteralStep::kMore;
  }
  for (; quotes_ > 0; --quotes_) add_json_byte(quote_, json);
  if (c == '\\') return go_to(State::kEscape);
  add_json_byte(c, json);
  return LiteralStep::kMore;
}

LiteralStep PythonText::begin_digits(uint32_t base, int most, bool may_be_fewer) {
  code_ = 0;
  base_ = base;
  digits_ = most;
  may_be_fewer_ = may_be_fewer;
  return go_to(State::kDigits);
}

LiteralStep PythonText::push_escape(char c, std::string& json) {
  static constexpr std::array<std::pair<char, char>, 10> kEscapes{{{'\\', '\\'},
                                                                   {'\'', '\''},
                                                                   {'"', '"'},
                                                                   {'a', '\a'},
                                                                   {'b', '\b'},
                                                                   {'f', '\f'},
                                                                   {'n', '\n'},
                                                                   {'r', '\r'},
                                                                   {'t', '\t'},
                                                                   {'v', '\v'}}};
  if (c == 'x') return begin_digits(kHex, 2, false);
  if (c == 'u') return begin_digits(kHex, 4, false);
  if (c == 'U') return begin_digits(kHex, 8, false);
  if (digit_value(c) < kOctal) {
    begin_digits(kOctal, 3, true);
    return push_digit(c, json);
  }
  state_ = State::kText;
  if (c == '\n') return LiteralStep::kMore;  // the line goes on
  for (const auto& [letter, meant] : kEscapes) {
    if (c != letter) continue;
    add_json_byte(meant, json);
    return LiteralStep::kMore;
  }
  // JSON's own, and what Python leaves as it is.
  if (c != '/') add_json_byte('\\', json);
  add_json_byte(c, json);
  return LiteralStep::kMore;
}

LiteralStep PythonText::push_digit(char c, std::string& json) {
  constexpr uint32_t kLastCode = 0x10FFFF;
  const uint32_t value = digit_value(c);
  const bool is_digit = value < base_;
  if (!is_digit && !may_be_fewer_) return LiteralStep::kBad;
  if (is_digit) {
    code_ = code_ * base_ + value;
    if (code_ > kLastCode) return LiteralStep::kBad;
    if (--digits_ > 0) return LiteralStep::kMore;
  }
  add_json_code(code_, json);
  state_ = State::kText;
  return is_digit ? LiteralStep::kMore : push_text(c, json);
}

}  // namespace dms::serve
