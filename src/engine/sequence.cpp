#include "engine/sequence.h"

#include <algorithm>
#include <string>

namespace dms::engine {

void Sequence::begin_prompt(int64_t tokens) {
  if (this->tokens() == 0) length_ = tokens;
}

void Sequence::cross_border(const Model& model, int64_t count) {
  if (state_->tokens() + count <= model.length_border(length_)) return;
  length_ = model.context();
  state_->restart(tokens());
}

void Sequence::record(std::span<const int32_t> ids) {
  const int64_t fresh = state_->tokens() - tokens();
  if (fresh <= 0) return;
  const auto from = static_cast<size_t>(std::ssize(ids) - fresh);
  ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(from), ids.end());
}

void Sequence::truncate(int64_t tokens) {
  if (tokens < 0 || tokens > this->tokens()) {
    throw InputError({.where = "truncate",
                      .what = "no such length",
                      .got = std::to_string(tokens),
                      .expected = "0 to " + std::to_string(this->tokens())});
  }
  if (tokens <= state_->tokens() && state_->can_truncate(tokens)) {
    state_->truncate(tokens);
  } else {
    state_->restart(tokens);
  }
  ids_.resize(static_cast<size_t>(tokens));
}

std::shared_ptr<Sequence> Sequence::fork() const {
  auto copy = std::make_shared<Sequence>(state_->fork(), max_tokens_);
  copy->length_ = length_;
  copy->ids_ = ids_;
  return copy;
}

}  // namespace dms::engine
