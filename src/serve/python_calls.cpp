#include "serve/python_calls.h"

#include <utility>

#include "serve/json_scanner.h"

namespace dms::serve {

PythonCalls::PythonCalls(std::string_view close, Tools tools)
    : close_(close), tools_(std::move(tools)) {}

void PythonCalls::begin(bool is_bare) {
  state_ = State::kStart;
  is_bare_ = is_bare;
  is_list_ = false;
  has_call_ = false;
  matched_ = 0;
}

CallSyntax::Step PythonCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kStart:
      return push_start(c);
    case State::kName:
      return push_name(c);
    case State::kOpen:
      if (is_blank(c)) return Step::kHeld;
      return c == '(' ? open_call() : Step::kBad;
    case State::kCall:
      return push_call(c, sink);
    case State::kAfter:
      return push_after(c);
    default:
      return push_close(c);
  }
}

CallSyntax::Step PythonCalls::go_to(State state) {
  state_ = state;
  return Step::kHeld;
}

CallSyntax::Step PythonCalls::push_start(char c) {
  if (is_blank(c)) return Step::kHeld;
  begin_name();
  if (c != '[') return push_name(c);
  is_list_ = true;
  return Step::kHeld;
}

CallSyntax::Step PythonCalls::begin_name() {
  name_.clear();
  return go_to(State::kName);
}

/// A list may end with a comma; an empty one is no call.
CallSyntax::Step PythonCalls::push_name(char c) {
  if (name_.empty()) {
    if (is_blank(c)) return Step::kHeld;
    if (c == ']' && is_list_ && has_call_) return end_of_calls();
  }
  if (c == '(' || is_blank(c)) {
    if (find_tool(*tools_, name_) == nullptr) return Step::kBad;
    return c == '(' ? open_call() : go_to(State::kOpen);
  }
  name_ += c;
  return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
}

CallSyntax::Step PythonCalls::open_call() {
  call_.begin(*find_tool(*tools_, name_), false);
  return go_to(State::kCall);
}

CallSyntax::Step PythonCalls::push_call(char c, CallSink& sink) {
  const Step step = call_.push(c, sink);
  if (step != Step::kEnd) return step;
  has_call_ = true;
  state_ = State::kAfter;
  return Step::kTaken;
}

CallSyntax::Step PythonCalls::end_of_calls() {
  is_list_ = false;
  if (is_bare_) return Step::kEnd;
  state_ = State::kClose;
  return Step::kTaken;
}

CallSyntax::Step PythonCalls::push_after(char c) {
  if (is_blank(c)) return Step::kHeld;
  if (is_list_) {
    if (c == ']') return end_of_calls();
    return c == ',' ? begin_name() : Step::kBad;
  }
  if (c == ',' || c == ';') return begin_name();
  if (c == close_.front()) {
    state_ = State::kClose;
    return push_close(c);
  }
  begin_name();
  return push_name(c);
}

CallSyntax::Step PythonCalls::push_close(char c) {
  if (matched_ == 0 && is_blank(c)) return Step::kHeld;
  if (c != close_[matched_]) return Step::kBad;
  return ++matched_ == close_.size() ? Step::kEnd : Step::kHeld;
}

}  // namespace dms::serve
