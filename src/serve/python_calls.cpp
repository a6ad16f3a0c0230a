#include "serve/python_calls.h"

#include <memory>
#include <utility>

#include "serve/api_error.h"
#include "serve/python_text.h"

namespace dms::serve {
namespace {

constexpr size_t kMostKeyBytes = 256;

std::unique_ptr<QuotedText> python_text() { return std::make_unique<PythonText>(); }

LiteralScanner new_value() { return LiteralScanner({.make_text = python_text}); }

}  // namespace

PythonCalls::PythonCalls(std::string_view close, Tools tools)
    : close_(close), tools_(std::move(tools)), value_(new_value()) {}

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
      return c == '(' ? go_to(State::kKey) : Step::kBad;
    case State::kKey:
      return push_key(c, sink);
    case State::kValue:
      return push_value(c, sink);
    case State::kNextArgument:
      return push_next_argument(c, sink);
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
  key_.clear();
  keys_.clear();
  has_begun_ = false;
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
    return go_to(c == '(' ? State::kKey : State::kOpen);
  }
  name_ += c;
  return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
}

CallSyntax::Step PythonCalls::push_key(char c, CallSink& sink) {
  constexpr std::string_view kNever = "(),[]{}'\":\n";
  if (key_.empty() && is_blank(c)) return Step::kHeld;
  if (key_.empty() && c == ')') return end_call(sink);
  if (c == '=') {
    while (key_.ends_with(' ')) key_.pop_back();
    if (key_.empty() || !keys_.insert(key_).second) return Step::kBad;
    before_ = (keys_.size() > 1 ? ", " : "") + json_text(std::exchange(key_, {})) + ": ";
    value_ = new_value();
    return go_to(State::kValue);
  }
  key_ += c;
  const bool is_bad = kNever.find(c) != std::string_view::npos || key_.size() > kMostKeyBytes;
  return is_bad ? Step::kBad : Step::kHeld;
}

/// Or goes on with it.
void PythonCalls::begin_call(CallSink& sink) {
  if (has_begun_) return;
  sink.begin_call(name_);
  sink.add_arguments("{");
  has_begun_ = true;
}

/// The call is certain where the first value is.
CallSyntax::Step PythonCalls::push_value(char c, CallSink& sink) {
  std::string json;
  const LiteralStep step = value_.push(c, json);
  if (!json.empty()) {
    begin_call(sink);
    sink.add_arguments(std::exchange(before_, {}) + json);
  }
  switch (step) {
    case LiteralStep::kMore:
      return json.empty() && !before_.empty() ? Step::kHeld : Step::kTaken;
    case LiteralStep::kDone:
      state_ = State::kNextArgument;
      return Step::kTaken;
    case LiteralStep::kOver:
      state_ = State::kNextArgument;
      return push_next_argument(c, sink);
    default:
      return Step::kBad;
  }
}

CallSyntax::Step PythonCalls::push_next_argument(char c, CallSink& sink) {
  if (c == ')') return end_call(sink);
  if (!is_blank(c) && c != ',') return Step::kBad;
  if (c == ',') state_ = State::kKey;
  return Step::kTaken;
}

CallSyntax::Step PythonCalls::end_call(CallSink& sink) {
  begin_call(sink);
  sink.add_arguments("}");
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
