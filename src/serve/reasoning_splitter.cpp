#include "serve/reasoning_splitter.h"

#include <algorithm>
#include <utility>

namespace dms::serve {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

/// Bytes at the end of `text` that may be the beginning of `tag`.
size_t begun_tag(std::string_view text, std::string_view tag) {
  for (size_t bytes = std::min(text.size(), tag.size() - 1); bytes > 0; --bytes) {
    if (text.ends_with(tag.substr(0, bytes))) return bytes;
  }
  return 0;
}

}  // namespace

ReasoningSplitter::Parts ReasoningSplitter::push(std::string_view piece) {
  Parts out;
  held_ += piece;
  if (state_ == State::kStart) take_start(out);
  if (state_ == State::kThinking) take_thinking(out);
  if (state_ == State::kContent) take_content(out);
  return out;
}

ReasoningSplitter::Parts ReasoningSplitter::finish() {
  Parts out;
  (state_ == State::kThinking ? out.reasoning : out.content) = std::exchange(held_, {});
  return out;
}

/// Blanks may come before the tag; with anything else the model does not think.
void ReasoningSplitter::take_start(Parts&) {
  const size_t begin = std::min(held_.find_first_not_of(kBlanks), held_.size());
  const std::string_view rest = std::string_view(held_).substr(begin);
  if (rest.starts_with(kOpen)) {
    held_.erase(0, begin + kOpen.size());
    state_ = State::kThinking;
    drops_newlines_ = true;
  } else if (!kOpen.starts_with(rest)) {
    state_ = State::kContent;
  }
}

void ReasoningSplitter::take_thinking(Parts& out) {
  drop_newlines();
  const size_t close = held_.find(kClose);
  const size_t end = close != std::string::npos ? close : held_.size() - begun_tag(held_, kClose);
  out.reasoning += std::string_view(held_).substr(0, end);
  held_.erase(0, end);
  if (close == std::string::npos) return;
  held_.erase(0, kClose.size());
  state_ = State::kContent;
  drops_newlines_ = true;
}

void ReasoningSplitter::take_content(Parts& out) {
  drop_newlines();
  out.content += std::exchange(held_, {});
}

void ReasoningSplitter::drop_newlines() {
  if (!drops_newlines_) return;
  held_.erase(0, std::min(held_.find_first_not_of('\n'), held_.size()));
  if (!held_.empty()) drops_newlines_ = false;
}

bool opens_reasoning(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kBlanks);
  return last != std::string_view::npos &&
         prompt.substr(0, last + 1).ends_with(ReasoningSplitter::kOpen);
}

}  // namespace dms::serve
