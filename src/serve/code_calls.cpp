#include "serve/code_calls.h"

#include <utility>

#include "serve/json_scanner.h"

namespace dms::serve {
namespace {

constexpr size_t kMostWordBytes = 256;
constexpr std::string_view kPrint = "print";

bool begins_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// Functions' names may have a sign that Python's have not.
bool is_of_word(char c) { return begins_word(c) || (c >= '0' && c <= '9') || c == '-'; }

}  // namespace

CodeCalls::CodeCalls(std::string_view close, Tools tools)
    : close_(close), tools_(std::move(tools)) {}

void CodeCalls::begin(bool) {
  state_ = State::kStatement;
  names_.clear();
  matched_ = 0;
  has_call_ = false;
  is_list_ = false;
  is_named_ = false;
  is_printed_ = false;
}

CallSyntax::Step CodeCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kStatement:
      return push_statement(c);
    case State::kComment:
      return c == '\n' ? go_to(State::kStatement) : Step::kHeld;
    case State::kWord:
      return push_word(c);
    case State::kBehindWord:
      return push_behind_word(c);
    case State::kCall:
      return push_call(c, sink);
    case State::kEndPrint:
      if (is_blank(c)) return Step::kHeld;
      return c == ')' ? go_to(State::kAfter) : Step::kBad;
    case State::kAfter:
      return push_after(c);
    default:
      return push_close(c);
  }
}

CallSyntax::Step CodeCalls::go_to(State state) {
  state_ = state;
  return Step::kHeld;
}

/// Or what is to be printed, or has just been named.
CallSyntax::Step CodeCalls::push_statement(char c) {
  if (is_blank(c)) return Step::kHeld;
  if (begins_word(c)) {
    word_ = c;
    return go_to(State::kWord);
  }
  if (is_named_ || is_printed_) return Step::kBad;
  if (c == '[' && !is_list_) {
    is_list_ = true;
    return Step::kHeld;
  }
  return c == '#' || has_call_ ? push_after(c) : Step::kBad;
}

CallSyntax::Step CodeCalls::push_word(char c) {
  if (!is_of_word(c)) return push_behind_word(c);
  word_ += c;
  return word_.size() > kMostWordBytes ? Step::kBad : Step::kHeld;
}

CallSyntax::Step CodeCalls::push_behind_word(char c) {
  if (c == '(') return open();
  if (c == '=') return name_result();
  if (c == ')' && is_printed_ && names_.contains(word_)) return go_to(State::kAfter);
  return is_blank(c) ? go_to(State::kBehindWord) : Step::kBad;
}

CallSyntax::Step CodeCalls::open() {
  if (const Tool* tool = find_tool(*tools_, word_)) {
    call_.begin(*tool, true);
    return go_to(State::kCall);
  }
  if (word_ != kPrint || is_printed_ || is_named_) return Step::kBad;
  is_printed_ = true;
  return go_to(State::kStatement);
}

/// It has one where the call does.
CallSyntax::Step CodeCalls::name_result() {
  if (is_named_ || is_printed_ || is_list_) return Step::kBad;
  is_named_ = true;
  names_.insert(word_);
  return go_to(State::kStatement);
}

CallSyntax::Step CodeCalls::push_call(char c, CallSink& sink) {
  const Step step = call_.push(c, sink);
  if (step != Step::kEnd) return step;
  has_call_ = true;
  state_ = is_printed_ ? State::kEndPrint : State::kAfter;
  return Step::kTaken;
}

/// A statement.
CallSyntax::Step CodeCalls::push_after(char c) {
  is_named_ = false;
  is_printed_ = false;
  if (c == '#') return go_to(State::kComment);
  if (c == close_.front()) {
    state_ = State::kClose;
    return push_close(c);
  }
  if (c == ']' && is_list_) {
    is_list_ = false;
    return go_to(State::kAfter);
  }
  const bool is_next = c == '\n' || c == ';' || c == ',';
  if (is_next) return go_to(State::kStatement);
  return is_blank(c) ? go_to(State::kAfter) : Step::kBad;
}

CallSyntax::Step CodeCalls::push_close(char c) {
  if (c != close_[matched_]) return Step::kBad;
  return ++matched_ == close_.size() ? Step::kEnd : Step::kHeld;
}

}  // namespace dms::serve
