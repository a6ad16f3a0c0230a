#include "serve/json_calls.h"

#include <utility>

namespace dms::serve {

JsonCalls::JsonCalls(std::string_view close, Tools tools)
    : close_(close), tools_(std::move(tools)), object_(tools_, false) {}

void JsonCalls::begin(bool is_bare) {
  state_ = State::kStart;
  matched_ = 0;
  is_list_ = false;
  has_call_ = false;
  is_bare_ = is_bare;
}

CallSyntax::Step JsonCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kStart:
      if (is_blank(c)) return Step::kHeld;
      if (c != '[') return begin_object(c, sink);
      is_list_ = true;
      state_ = State::kElement;
      return Step::kHeld;
    case State::kElement:
      return push_element(c, sink);
    case State::kObject:
      return push_object(c, sink);
    case State::kAfter:
      return push_after(c, sink);
    default:
      return push_close(c);
  }
}

CallSyntax::Step JsonCalls::begin_object(char c, CallSink& sink) {
  object_ = CallObject(tools_, is_bare_);
  state_ = State::kObject;
  return push_object(c, sink);
}

/// Models end lists with a comma, too. An empty list is no call.
CallSyntax::Step JsonCalls::push_element(char c, CallSink& sink) {
  if (is_blank(c)) return Step::kHeld;
  return c == ']' && has_call_ ? end_of_json() : begin_object(c, sink);
}

CallSyntax::Step JsonCalls::push_object(char c, CallSink& sink) {
  const Step step = object_.push(c, sink);
  if (step != Step::kEnd) return step;
  if (!is_list_) return end_of_json();
  has_call_ = true;
  state_ = State::kAfter;
  return Step::kTaken;
}

CallSyntax::Step JsonCalls::end_of_json() {
  is_list_ = false;
  state_ = State::kAfter;
  return close_.empty() ? Step::kEnd : Step::kTaken;
}

/// Some models write several objects between the tags, one after another.
CallSyntax::Step JsonCalls::push_after(char c, CallSink& sink) {
  if (is_blank(c)) return Step::kHeld;
  if (!is_list_) {
    if (c == '{') return begin_object(c, sink);
    state_ = State::kClose;
    return push_close(c);
  }
  if (c == ']') return end_of_json();
  if (c != ',') return Step::kBad;
  state_ = State::kElement;
  return Step::kHeld;
}

CallSyntax::Step JsonCalls::push_close(char c) {
  if (c != close_[matched_]) return Step::kBad;
  return ++matched_ == close_.size() ? Step::kEnd : Step::kHeld;
}

}  // namespace dms::serve
