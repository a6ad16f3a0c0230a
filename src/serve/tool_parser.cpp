#include "serve/tool_parser.h"

#include <utility>

#include "serve/json_scanner.h"

namespace dms::serve {

ToolParser::ToolParser(const ToolForm& form, Tools tools)
    : form_(&form),
      syntax_(form.syntax(form.close, std::move(tools))),
      may_begin_bare_(!form.bare.empty()) {}

ToolParser::Parts ToolParser::push(std::string_view piece) {
  for (const char c : piece) step(c);
  return std::exchange(out_, {});
}

ToolParser::Parts ToolParser::finish() {
  if (is_inside_) syntax_->finish(*this);
  // What a call has left unfinished behind it goes with it.
  const bool is_calls = is_inside_ ? is_call_ : is_after_call_ && matched_ == 0;
  if (!is_calls) release();
  return std::exchange(out_, {});
}

void ToolParser::step(char c) { is_inside_ ? step_call(c) : step_text(c); }

void ToolParser::step_text(char c) {
  if (matched_ > 0 && c != form_->open[matched_]) release();
  if (c == form_->open[matched_]) {
    hold(c);
    if (++matched_ < form_->open.size()) return;
    is_inside_ = true;
    is_call_ = false;
    matched_ = 0;
    syntax_->begin(false);
    return;
  }
  if (may_begin_bare_ && form_->bare.starts_with(c)) {
    is_inside_ = true;
    is_call_ = false;
    syntax_->begin(true);
    step_call(c);
    return;
  }
  hold(c);
  if (!is_between(c)) release();
}

void ToolParser::step_call(char c) {
  const CallSyntax::Step step =
      held_.size() < kMostHeldBytes ? syntax_->push(c, *this) : CallSyntax::Step::kBad;
  switch (step) {
    case CallSyntax::Step::kHeld:
      hold(c);
      return;
    case CallSyntax::Step::kTaken:
      held_.clear();
      return;
    case CallSyntax::Step::kEnd:
      held_.clear();
      is_inside_ = false;
      is_after_call_ = true;
      return;
    case CallSyntax::Step::kBad:
      release();
      step_text(c);
  }
}

void ToolParser::hold(char c) { held_ += c; }

/// It was text.
void ToolParser::release() {
  out_.content += std::exchange(held_, {});
  matched_ = 0;
  is_inside_ = false;
  may_begin_bare_ = false;
  is_after_call_ = false;
}

bool ToolParser::is_between(char c) const {
  return is_blank(c) || (is_after_call_ && form_->separator.starts_with(c));
}

void ToolParser::begin_call(std::string_view name) {
  out_.calls.push_back({.index = calls_++, .name = std::string(name)});
  is_call_ = true;
}

void ToolParser::add_arguments(std::string_view text) {
  if (out_.calls.empty() || out_.calls.back().index + 1 != calls_) {
    out_.calls.push_back({.index = calls_ - 1});
  }
  out_.calls.back().arguments += text;
}

}  // namespace dms::serve
