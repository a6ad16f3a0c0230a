#include "serve/literal_scanner.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "serve/api_error.h"

namespace dms::serve {
namespace {

constexpr size_t kMostAtomBytes = 512;
constexpr size_t kMostKeyBytes = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_of_atom(char c) {
  return is_digit(c) || is_letter(c) || c == '_' || c == '.' || c == '-' || c == '+';
}

/// 0x1F, 0o17, 0b11.
std::optional<std::string> json_of_based(std::string_view digits, int base) {
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return std::to_string(value);
}

int base_of(std::string_view number) {
  if (number.size() < 3 || number[0] != '0') return 10;
  switch (number[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 10;
  }
}

/// 1_000 without the signs between digits; nothing where one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view number) {
  std::string out;
  for (size_t i = 0; i < number.size(); ++i) {
    if (number[i] != '_') {
      out += number[i];
      continue;
    }
    const bool is_between =
        i > 0 && i + 1 < number.size() && number[i - 1] != '_' && number[i + 1] != '_';
    if (!is_between) return std::nullopt;
  }
  return out;
}

/// .5 and 5. have no digit on one side, which JSON wants.
std::string with_digits_beside_point(std::string number) {
  const size_t point = number.find('.');
  if (point == std::string::npos) return number;
  if (point + 1 == number.size() || !is_digit(number[point + 1])) {
    if (point == 0 || !is_digit(number[point - 1])) return number;  // a point alone is none
    number.insert(point + 1, 1, '0');
  }
  if (point == 0) number.insert(0, 1, '0');
  return number;
}

}  // namespace

std::optional<std::string> json_of_atom(std::string_view atom) {
  if (atom == "True" || atom == "true") return "true";
  if (atom == "False" || atom == "false") return "false";
  if (atom == "None" || atom == "null") return "null";
  const bool is_negative = atom.starts_with('-');
  if (is_negative || atom.starts_with('+')) atom.remove_prefix(1);
  std::optional<std::string> number = without_underscores(atom);
  if (!number || number->empty() || !(is_digit(number->front()) || number->front() == '.')) {
    return std::nullopt;
  }
  const int base = base_of(*number);
  number = base == 10 ? with_digits_beside_point(*number)
                      : json_of_based(std::string_view(*number).substr(2), base);
  if (!number || !is_json(*number)) return std::nullopt;
  std::string out(is_negative ? "-" : "");
  out += *number;
  return out;
}

void LiteralScanner::add(std::string_view text, std::string& json) {
  json += std::exchange(before_, {});
  json += text;
}

LiteralStep LiteralScanner::push(char c, std::string& json) {
  switch (state_) {
    case State::kValue:
      return is_blank(c) ? LiteralStep::kMore : begin_value(c, json);
    case State::kFirst:
    case State::kItem:
      return begin_item(c, json);
    case State::kBareKey:
      return push_bare_key(c, json);
    case State::kColon:
      return push_colon(c, json);
    case State::kNext:
      return push_next(c, json);
    case State::kText:
      return push_text(c, json);
    default:
      return push_atom(c, json);
  }
}

LiteralStep LiteralScanner::begin_value(char c, std::string& json) {
  if (c == '{' || c == '[') {
    if (open_.size() == kMostDepth) return LiteralStep::kBad;
    open_ += c;
    add({&c, 1}, json);
    state_ = State::kFirst;
    return LiteralStep::kMore;
  }
  text_ = form_.make_text();
  if (text_->begins(c)) {
    is_key_ = false;
    return begin_text(c, json);
  }
  atom_.clear();
  state_ = State::kAtom;
  return is_of_atom(c) ? push_atom(c, json) : LiteralStep::kBad;
}

/// Behind a comma there may be no item: Python allows one before the end.
LiteralStep LiteralScanner::begin_item(char c, std::string& json) {
  if (is_blank(c)) return LiteralStep::kMore;
  if (c == '}' || c == ']') return close(c, json);
  if (state_ == State::kItem) before_ = ", ";
  if (!is_in_object()) return begin_value(c, json);
  text_ = form_.make_text();
  if (text_->begins(c)) {
    is_key_ = true;
    return begin_text(c, json);
  }
  if (!form_.has_bare_keys) return LiteralStep::kBad;
  atom_.clear();
  state_ = State::kBareKey;
  return push_bare_key(c, json);
}

LiteralStep LiteralScanner::begin_text(char c, std::string& json) {
  state_ = State::kText;
  return push_text(c, json);
}

LiteralStep LiteralScanner::push_text(char c, std::string& json) {
  std::string text;
  const LiteralStep step = text_->push(c, text);
  if (!text.empty()) add(text, json);
  if (step == LiteralStep::kMore || step == LiteralStep::kBad) return step;
  if (!is_key_) {
    const LiteralStep end = end_value();
    if (step == LiteralStep::kDone) return end;
    return end == LiteralStep::kDone ? LiteralStep::kOver : push_next(c, json);
  }
  state_ = State::kColon;
  return step == LiteralStep::kDone ? LiteralStep::kMore : push_colon(c, json);
}

LiteralStep LiteralScanner::push_atom(char c, std::string& json) {
  if (is_of_atom(c)) {
    atom_ += c;
    return atom_.size() > kMostAtomBytes ? LiteralStep::kBad : LiteralStep::kMore;
  }
  const auto value = json_of_atom(atom_);
  if (!value) return LiteralStep::kBad;
  add(*value, json);
  return end_value() == LiteralStep::kDone ? LiteralStep::kOver : push_next(c, json);
}

LiteralStep LiteralScanner::push_bare_key(char c, std::string& json) {
  constexpr std::string_view kNever = ",{}[]\n";
  if (c == ':') {
    add(json_text(std::exchange(atom_, {})), json);
    return push_colon(c, json);
  }
  atom_ += c;
  const bool is_bad = kNever.find(c) != std::string_view::npos || atom_.size() > kMostKeyBytes;
  return is_bad ? LiteralStep::kBad : LiteralStep::kMore;
}

LiteralStep LiteralScanner::push_colon(char c, std::string& json) {
  if (is_blank(c)) return LiteralStep::kMore;
  if (c != ':') return LiteralStep::kBad;
  json += ": ";
  state_ = State::kValue;
  return LiteralStep::kMore;
}

LiteralStep LiteralScanner::push_next(char c, std::string& json) {
  if (is_blank(c)) return LiteralStep::kMore;
  if (c == '}' || c == ']') return close(c, json);
  if (c != ',') return LiteralStep::kBad;
  state_ = State::kItem;
  return LiteralStep::kMore;
}

LiteralStep LiteralScanner::close(char c, std::string& json) {
  if (open_.back() != (c == '}' ? '{' : '[')) return LiteralStep::kBad;
  open_.pop_back();
  json += c;
  return end_value();
}

LiteralStep LiteralScanner::end_value() {
  state_ = State::kNext;
  return open_.empty() ? LiteralStep::kDone : LiteralStep::kMore;
}

}  // namespace dms::serve
