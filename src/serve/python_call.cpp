#include "serve/python_call.h"

#include <iterator>
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

PythonCall::PythonCall() : value_(new_value()) {}

void PythonCall::begin(const Tool& tool, bool has_positions) {
  tool_ = &tool;
  state_ = State::kKey;
  key_.clear();
  keys_.clear();
  has_positions_ = has_positions;
  has_begun_ = false;
}

CallSyntax::Step PythonCall::push(char c, CallSink& sink) {
  switch (state_) {
    case State::kKey:
      return push_key(c, sink);
    case State::kValue:
      return push_value(c, sink);
    default:
      return push_next(c, sink);
  }
}

CallSyntax::Step PythonCall::push_key(char c, CallSink& sink) {
  constexpr std::string_view kNever = "(),[]{}'\":\n";
  if (key_.empty() && is_blank(c)) return Step::kHeld;
  if (key_.empty() && c == ')') return end(sink);
  if (c == '=') {
    while (key_.ends_with(' ')) key_.pop_back();
    has_positions_ = false;
    return begin_value(std::exchange(key_, {})) ? Step::kHeld : Step::kBad;
  }
  const bool is_no_key = kNever.find(c) != std::string_view::npos;
  if (is_no_key && has_positions_) {
    if (const Step step = begin_position(sink); step != Step::kHeld) return step;
    return push_value(c, sink);
  }
  key_ += c;
  return is_no_key || key_.size() > kMostKeyBytes ? Step::kBad : Step::kHeld;
}

/// What looked like a name is the beginning of a value, or all of a word or number.
CallSyntax::Step PythonCall::begin_position(CallSink& sink) {
  constexpr std::string_view kBlanks = " \t\r";
  std::string begun = std::exchange(key_, {});
  begun.resize(begun.find_last_not_of(kBlanks) + 1);
  if (begun.find_first_of(kBlanks) != std::string::npos) return Step::kBad;
  const auto properties = tool_->parameters.find("properties");
  const bool has_more = properties != tool_->parameters.end() && properties->is_object() &&
                        keys_.size() < properties->size();
  if (!has_more) return Step::kBad;
  const auto property = std::next(properties->begin(), std::ssize(keys_));
  if (!begin_value(property.key())) return Step::kBad;
  for (const char c : begun) {
    if (const Step step = push_value(c, sink); step != Step::kHeld) return Step::kBad;
  }
  return Step::kHeld;
}

bool PythonCall::begin_value(std::string key) {
  if (key.empty() || !keys_.insert(key).second) return false;
  before_ = (keys_.size() > 1 ? ", " : "") + json_text(std::move(key)) + ": ";
  value_ = new_value();
  state_ = State::kValue;
  return true;
}

/// Or goes on with it.
void PythonCall::begin_call(CallSink& sink) {
  if (has_begun_) return;
  sink.begin_call(tool_->name);
  sink.add_arguments("{");
  has_begun_ = true;
}

/// The call is certain where the first value is.
CallSyntax::Step PythonCall::push_value(char c, CallSink& sink) {
  std::string json;
  const LiteralStep step = value_.push(c, json);
  if (!json.empty()) {
    begin_call(sink);
    sink.add_arguments(std::exchange(before_, {}) + json);
  }
  switch (step) {
    case LiteralStep::kMore:
      return json.empty() ? Step::kHeld : Step::kTaken;
    case LiteralStep::kDone:
      state_ = State::kNext;
      return Step::kTaken;
    case LiteralStep::kOver: {
      state_ = State::kNext;
      const Step next = push_next(c, sink);
      return next == Step::kBad ? Step::kOver : next;
    }
    default:
      return json.empty() ? Step::kBad : Step::kOver;
  }
}

CallSyntax::Step PythonCall::push_next(char c, CallSink& sink) {
  if (c == ')') return end(sink);
  if (!is_blank(c) && c != ',') return Step::kBad;
  if (c == ',') state_ = State::kKey;
  return Step::kTaken;
}

CallSyntax::Step PythonCall::end(CallSink& sink) {
  begin_call(sink);
  sink.add_arguments("}");
  return Step::kEnd;
}

}  // namespace dms::serve
