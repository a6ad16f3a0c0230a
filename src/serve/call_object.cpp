#include "serve/call_object.h"

namespace dms::serve {
namespace {

constexpr size_t kMostKeyBytes = 256;

}  // namespace

CallSyntax::Step CallObject::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kOpen:
      return c == '{' ? go_to(State::kKey) : Step::kBad;
    case State::kKey:
      if (is_blank(c)) return Step::kHeld;
      key_.clear();
      return c == '"' ? go_to(State::kInKey) : Step::kBad;
    case State::kInKey:
      return push_key(c);
    case State::kColon:
      if (is_blank(c)) return Step::kHeld;
      return c == ':' ? go_to(State::kValue) : Step::kBad;
    case State::kValue:
      return is_blank(c) ? Step::kHeld : push_value(c, sink);
    case State::kName:
      return push_name(c, sink);
    case State::kArguments:
      return push_arguments(c, sink);
    case State::kOther:
      return push_other(c, sink);
    default:
      return push_next(c, sink);
  }
}

CallSyntax::Step CallObject::go_to(State state) {
  state_ = state;
  return Step::kHeld;
}

/// Keys that matter have no escapes, and others may be anything that has none either.
CallSyntax::Step CallObject::push_key(char c) {
  if (c == '"') return go_to(State::kColon);
  if (c == '\\' || c == '\n' || key_.size() == kMostKeyBytes) return Step::kBad;
  key_ += c;
  return Step::kHeld;
}

CallSyntax::Step CallObject::push_value(char c, CallSink& sink) {
  if (key_ == "name" && !has_name_) return c == '"' ? go_to(State::kName) : Step::kBad;
  scanner_ = JsonScanner();
  const bool are_arguments = key_ == "arguments" || key_ == "parameters";
  if (!are_arguments || has_arguments_) {
    state_ = State::kOther;
    return push_other(c, sink);
  }
  if (c != '{' && c != '"' && c != 'n') return Step::kBad;
  are_object_ = c == '{';
  state_ = State::kArguments;
  return push_arguments(c, sink);
}

CallSyntax::Step CallObject::push_name(char c, CallSink& sink) {
  if (c != '"') {
    name_ += c;
    return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
  }
  if (find_tool(*tools_, name_) == nullptr) return Step::kBad;
  has_name_ = true;
  state_ = State::kNext;
  return has_arguments_ ? begin_call(sink) : Step::kHeld;
}

CallSyntax::Step CallObject::push_arguments(char c, CallSink& sink) {
  const JsonScanner::Step step = scanner_.push(c);
  if (step == JsonScanner::Step::kBad || step == JsonScanner::Step::kOver) return Step::kBad;
  arguments_ += c;
  if (step == JsonScanner::Step::kDone) return end_arguments(sink);
  return has_name_ && are_object_ ? begin_call(sink) : Step::kHeld;
}

CallSyntax::Step CallObject::end_arguments(CallSink& sink) {
  if (!are_object_) {
    const OrderedJson value = OrderedJson::parse(arguments_, nullptr, false);
    arguments_ = value.is_string() ? value.get<std::string>() : "{}";
    if (value.is_discarded() || !is_json_object(arguments_)) return Step::kBad;
  }
  has_arguments_ = true;
  state_ = State::kNext;
  return has_name_ ? begin_call(sink) : Step::kHeld;
}

/// Or goes on with it.
CallSyntax::Step CallObject::begin_call(CallSink& sink) {
  if (!has_begun_) sink.begin_call(name_);
  has_begun_ = true;
  sink.add_arguments(arguments_);
  arguments_.clear();
  return Step::kTaken;
}

CallSyntax::Step CallObject::push_other(char c, CallSink& sink) {
  switch (scanner_.push(c)) {
    case JsonScanner::Step::kMore:
      return Step::kHeld;
    case JsonScanner::Step::kDone:
      return go_to(State::kNext);
    case JsonScanner::Step::kOver:
      state_ = State::kNext;
      return push_next(c, sink);
    default:
      return Step::kBad;
  }
}

CallSyntax::Step CallObject::push_next(char c, CallSink& sink) {
  if (is_blank(c)) return Step::kHeld;
  if (c == ',') return go_to(State::kKey);
  if (c != '}' || !has_name_ || (needs_arguments_ && !has_arguments_)) return Step::kBad;
  if (!has_arguments_) {
    arguments_ = "{}";
    begin_call(sink);
  }
  return Step::kEnd;
}

}  // namespace dms::serve
