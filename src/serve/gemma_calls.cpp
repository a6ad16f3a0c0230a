#include "serve/gemma_calls.h"

#include <memory>
#include <utility>

#include "serve/escaped_text.h"
#include "serve/json_scanner.h"

namespace dms::serve {
namespace {

std::unique_ptr<QuotedText> escaped_text() { return std::make_unique<EscapedText>(); }

LiteralScanner new_arguments() {
  return LiteralScanner({.make_text = escaped_text, .has_bare_keys = true});
}

}  // namespace

GemmaCalls::GemmaCalls(std::string_view close, Tools tools)
    : close_(close), tools_(std::move(tools)), arguments_(new_arguments()) {}

void GemmaCalls::begin(bool) {
  state_ = State::kCall;
  matched_ = 0;
}

CallSyntax::Step GemmaCalls::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kCall:
      return push_call(c);
    case State::kName:
      return push_name(c, sink);
    case State::kArguments:
      return push_arguments(c, sink);
    default:
      return push_close(c);
  }
}

CallSyntax::Step GemmaCalls::push_call(char c) {
  if (is_blank(c) && matched_ == 0) return Step::kHeld;
  if (c != kCall[matched_]) return Step::kBad;
  if (++matched_ == kCall.size()) {
    name_.clear();
    state_ = State::kName;
  }
  return Step::kHeld;
}

CallSyntax::Step GemmaCalls::push_name(char c, CallSink& sink) {
  if (c != '{') {
    name_ += c;
    return begins_name(*tools_, name_) ? Step::kHeld : Step::kBad;
  }
  if (find_tool(*tools_, name_) == nullptr) return Step::kBad;
  sink.begin_call(name_);
  arguments_ = new_arguments();
  state_ = State::kArguments;
  return push_arguments(c, sink);
}

CallSyntax::Step GemmaCalls::push_arguments(char c, CallSink& sink) {
  std::string json;
  const LiteralStep step = arguments_.push(c, json);
  if (!json.empty()) sink.add_arguments(json);
  if (step == LiteralStep::kBad) return json.empty() ? Step::kBad : Step::kOver;
  if (step == LiteralStep::kDone) {
    matched_ = 0;
    state_ = State::kClose;
  }
  return json.empty() ? Step::kHeld : Step::kTaken;
}

/// Some calls stand in one pair of tags.
CallSyntax::Step GemmaCalls::push_close(char c) {
  if (matched_ == 0 && is_blank(c)) return Step::kHeld;
  if (matched_ == 0 && c == kCall.front()) {
    state_ = State::kCall;
    return push_call(c);
  }
  if (c != close_[matched_]) return Step::kBad;
  return ++matched_ == close_.size() ? Step::kEnd : Step::kHeld;
}

}  // namespace dms::serve
