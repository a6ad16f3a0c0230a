#include "serve/json_scanner.h"

#include <algorithm>

namespace dms::serve {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

JsonScanner::Step JsonScanner::push(char c) {
  switch (state_) {
    case State::kValue:
      return is_blank(c) ? Step::kMore : begin_value(c);
    case State::kFirstItem:
      if (c == ']') return close(c);
      return is_blank(c) ? Step::kMore : begin_value(c);
    case State::kFirstKey:
      return c == '}' ? close(c) : push_key(c);
    case State::kKey:
      return push_key(c);
    case State::kColon:
      if (is_blank(c)) return Step::kMore;
      return c == ':' ? go_to(State::kValue) : Step::kBad;
    case State::kNext:
      return push_next(c);
    case State::kString:
      return push_string(c);
    case State::kEscape:
      return push_escape(c);
    case State::kCode:
      if (!is_hex_digit(c)) return Step::kBad;
      return --code_digits_ > 0 ? Step::kMore : go_to(State::kString);
    case State::kLiteral:
      if (c != literal_.front()) return Step::kBad;
      literal_.remove_prefix(1);
      return literal_.empty() ? end_value() : Step::kMore;
    default:
      return push_number(c);
  }
}

JsonScanner::Step JsonScanner::go_to(State state) {
  state_ = state;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::begin_value(char c) {
  for (const std::string_view literal : {"true", "false", "null"}) {
    if (c != literal.front()) continue;
    literal_ = literal.substr(1);
    return go_to(State::kLiteral);
  }
  if (c == '{' || c == '[') return open(c);
  if (c == '"') return go_to(State::kString);
  if (c == '-') return go_to(State::kMinus);
  if (c == '0') return go_to(State::kZero);
  return is_digit(c) ? go_to(State::kDigits) : Step::kBad;
}

JsonScanner::Step JsonScanner::open(char c) {
  if (open_.size() == kMostDepth) return Step::kBad;
  open_ += c;
  return go_to(c == '{' ? State::kFirstKey : State::kFirstItem);
}

JsonScanner::Step JsonScanner::close(char c) {
  if (open_.back() != (c == '}' ? '{' : '[')) return Step::kBad;
  open_.pop_back();
  return end_value();
}

JsonScanner::Step JsonScanner::end_value() {
  state_ = State::kNext;
  return open_.empty() ? Step::kDone : Step::kMore;
}

JsonScanner::Step JsonScanner::push_key(char c) {
  if (is_blank(c)) return Step::kMore;
  if (c != '"') return Step::kBad;
  is_key_ = true;
  return go_to(State::kString);
}

JsonScanner::Step JsonScanner::push_next(char c) {
  if (is_blank(c)) return Step::kMore;
  if (c == ',') return go_to(open_.back() == '{' ? State::kKey : State::kValue);
  return c == '}' || c == ']' ? close(c) : Step::kBad;
}

JsonScanner::Step JsonScanner::push_string(char c) {
  constexpr unsigned char kFirstPrintable = 0x20;
  if (static_cast<unsigned char>(c) < kFirstPrintable) return Step::kBad;
  if (c == '\\') return go_to(State::kEscape);
  if (c != '"') return Step::kMore;
  if (!is_key_) return end_value();
  is_key_ = false;
  return go_to(State::kColon);
}

JsonScanner::Step JsonScanner::push_escape(char c) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  if (kEscapes.find(c) != std::string_view::npos) return go_to(State::kString);
  if (c != 'u') return Step::kBad;
  code_digits_ = 4;
  return go_to(State::kCode);
}

/// Within a number, or after it.
JsonScanner::Step JsonScanner::push_number(char c) {
  const bool is_exponent = c == 'e' || c == 'E';
  switch (state_) {
    case State::kMinus:
      if (c == '0') return go_to(State::kZero);
      return is_digit(c) ? go_to(State::kDigits) : Step::kBad;
    case State::kPoint:
      return is_digit(c) ? go_to(State::kFraction) : Step::kBad;
    case State::kExponent:
      if (c == '+' || c == '-') return go_to(State::kExponentSign);
      [[fallthrough]];
    case State::kExponentSign:
      return is_digit(c) ? go_to(State::kExponentDigits) : Step::kBad;
    default:
      break;
  }
  if (is_digit(c) && state_ != State::kZero) return Step::kMore;
  const bool is_whole = state_ == State::kZero || state_ == State::kDigits;
  if (c == '.' && is_whole) return go_to(State::kPoint);
  if (is_exponent && state_ != State::kExponentDigits) return go_to(State::kExponent);
  if (open_.empty()) return Step::kOver;
  state_ = State::kNext;
  return push_next(c);
}

bool is_json(std::string_view text) {
  JsonScanner scanner;
  for (size_t i = 0; i < text.size(); ++i) {
    const JsonScanner::Step step = scanner.push(text[i]);
    if (step == JsonScanner::Step::kMore) continue;
    if (step == JsonScanner::Step::kBad) return false;
    const std::string_view rest = text.substr(step == JsonScanner::Step::kOver ? i : i + 1);
    return std::ranges::all_of(rest, is_blank);
  }
  return scanner.push(' ') == JsonScanner::Step::kOver;
}

bool is_json_object(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \n\t\r"), text.size());
  return text.substr(begin).starts_with('{') && is_json(text);
}

}  // namespace dms::serve
