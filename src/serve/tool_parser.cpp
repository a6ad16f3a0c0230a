#include "serve/tool_parser.h"

#include <algorithm>
#include <utility>

#include "serve/json_scanner.h"

namespace dms::serve {

ToolParser::ToolParser(const ToolForm& form, Tools tools)
    : form_(&form), may_begin_bare_(!form.bare.empty()) {
  for (const ToolForm* read : read_forms(form)) {
    openings_.push_back({.tag = read->open, .syntax = read->syntax(read->close, tools)});
  }
}

ToolParser::Parts ToolParser::push(std::string_view piece) {
  for (const char c : piece) step(c);
  return std::exchange(out_, {});
}

ToolParser::Parts ToolParser::finish() {
  if (inside_ != nullptr) inside_->finish(*this);
  // What a call has left unfinished behind it goes with it.
  const bool is_calls = inside_ != nullptr ? is_call_ : is_after_call_ && matched_ == 0;
  is_calls ? take() : release(held_.size());
  return std::exchange(out_, {});
}

void ToolParser::step(char c) { inside_ != nullptr ? step_call(c) : step_text(c); }

void ToolParser::enter(CallSyntax& syntax, bool is_bare) {
  inside_ = &syntax;
  is_call_ = false;
  matched_ = 0;
  syntax.begin(is_bare);
}

void ToolParser::step_text(char c) {
  held_ += c;
  ++matched_;
  shorten_tag();
  for (const Opening& opening : openings_) {
    if (tag() == opening.tag) return enter(*opening.syntax, false);
  }
  if (matched_ > 0 || !may_begin_bare_ || !form_->bare.starts_with(c)) return;
  held_.pop_back();
  enter(*openings_.front().syntax, true);
  step_call(c);
}

/// To the longest end of what is held that a tag begins with. What was before it and may not stand
/// between calls is text.
void ToolParser::shorten_tag() {
  while (matched_ > 0 && !begins_tag()) {
    const size_t end = held_.size() - --matched_;
    const char dropped = held_[end - 1];
    const bool is_bare = matched_ == 0 && may_begin_bare_ && form_->bare.starts_with(dropped);
    if (!is_between(dropped) && !is_bare) release(end);
  }
}

void ToolParser::step_call(char c) {
  const CallSyntax::Step step =
      held_.size() < kMostHeldBytes ? inside_->push(c, *this) : CallSyntax::Step::kBad;
  switch (step) {
    case CallSyntax::Step::kHeld:
      held_ += c;
      return;
    case CallSyntax::Step::kTaken:
      held_ += c;
      take();
      return;
    case CallSyntax::Step::kEnd:
      held_ += c;
      take();
      inside_ = nullptr;
      is_after_call_ = true;
      return;
    case CallSyntax::Step::kOver:
      take();
      [[fallthrough]];
    case CallSyntax::Step::kBad:
      inside_ = nullptr;
      release(held_.size());
      step_text(c);
  }
}

/// It was of calls.
void ToolParser::take() {
  out_.call_bytes += held_.size();
  held_.clear();
}

/// They were text.
void ToolParser::release(size_t bytes) {
  out_.content += std::string_view(held_).substr(0, bytes);
  held_.erase(0, bytes);
  may_begin_bare_ = false;
  is_after_call_ = false;
}

std::string_view ToolParser::tag() const {
  return std::string_view(held_).substr(held_.size() - matched_);
}

bool ToolParser::begins_tag() const {
  return std::ranges::any_of(
      openings_, [this](const Opening& opening) { return opening.tag.starts_with(tag()); });
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
