#include "serve/named_calls.h"

#include <utility>

namespace dms::serve {
namespace {

constexpr size_t kMostIdBytes = 64;

}  // namespace

NamedCalls::NamedCalls(Tools tools) : tools_(std::move(tools)) {}

void NamedCalls::begin(bool) {
  state_ = State::kName;
  name_.clear();
  mark_.clear();
  id_bytes_ = 0;
  scanner_ = JsonScanner();
}

CallSyntax::Step NamedCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kName:
      return push_name(c);
    case State::kMark:
      return push_mark(c);
    case State::kId:
      return push_id(c);
    case State::kBeforeArguments:
      if (is_blank(c)) return Step::kHeld;
      if (c != '{') return Step::kBad;
      sink.begin_call(name_);
      state_ = State::kArguments;
      [[fallthrough]];
    default:
      return push_arguments(c, sink);
  }
}

CallSyntax::Step NamedCalls::push_name(char c) {
  if (is_blank(c) && name_.empty()) return Step::kHeld;
  if (c == '[' && find_tool(*tools_, name_) != nullptr) {
    state_ = State::kMark;
    return push_mark(c);
  }
  name_ += c;
  return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
}

CallSyntax::Step NamedCalls::push_mark(char c) {
  mark_ += c;
  if (mark_ == kArguments) {
    state_ = State::kBeforeArguments;
  } else if (mark_ == kId && id_bytes_ == 0) {
    state_ = State::kId;
  } else if (!kArguments.starts_with(mark_) && !kId.starts_with(mark_)) {
    return Step::kBad;
  }
  return Step::kHeld;
}

CallSyntax::Step NamedCalls::push_id(char c) {
  if (c == '[') {
    mark_.clear();
    state_ = State::kMark;
    return push_mark(c);
  }
  return ++id_bytes_ > kMostIdBytes ? Step::kBad : Step::kHeld;
}

CallSyntax::Step NamedCalls::push_arguments(char c, CallSink& sink) {
  const JsonScanner::Step step = scanner_.push(c);
  if (step == JsonScanner::Step::kBad) return Step::kBad;
  sink.add_arguments({&c, 1});
  return step == JsonScanner::Step::kDone ? Step::kEnd : Step::kTaken;
}

}  // namespace dms::serve
