#include "engine/sequence.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"

namespace dms::engine {

void Sequence::begin_prompt(int64_t tokens) {
  const int64_t begin = this->tokens();
  if (begin == 0) length_ = tokens;
  cut_prompts(prompts_, begin);  // the last one may not have come to its end
  // A single token is no prompt: so is decoding driven from outside.
  if (tokens > 1) prompts_.push_back({.begin = begin, .end = begin + tokens});
}

int64_t Sequence::before_prompt_at(int64_t tokens) const {
  const auto prompt = std::ranges::find_if(prompts_, [tokens](const PromptSpan& one) {
    return one.begin <= tokens && tokens < one.end;
  });
  return prompt == prompts_.end() ? tokens : prompt->begin;
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

void Sequence::start_from(std::span<const int32_t> ids, std::unique_ptr<SequenceState> state) {
  ensure(tokens() <= std::ssize(ids) && state->tokens() == std::ssize(ids), "nothing is lost");
  state_ = std::move(state);
  ids_.assign(ids.begin(), ids.end());
}

void Sequence::restore(std::unique_ptr<SequenceState> state) {
  ensure(state->tokens() == tokens(), "the whole sequence comes back");
  state_ = std::move(state);
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
  cut_prompts(prompts_, tokens);
}

std::shared_ptr<Sequence> Sequence::fork() const {
  std::unique_ptr<SequenceState> state;
  try {
    state = state_->fork();
  } catch (const MemoryShortage&) {
    state = state_->fork_decisions();
  }
  auto copy = std::make_shared<Sequence>(std::move(state), max_tokens_);
  copy->length_ = length_;
  copy->ids_ = ids_;
  copy->prompts_ = prompts_;
  return copy;
}

void Sequence::write(ByteWriter& out) const {
  ensure(missing().empty(), "a sequence is whole when it is written");
  out.value(length_);
  out.list(std::span(ids_));
  state_->write(out);
  std::span<const PromptSpan> begun(prompts_);
  if (!begun.empty() && begun.back().begin == tokens()) begun = begun.first(begun.size() - 1);
  out.list(begun);
}

std::shared_ptr<Sequence> Sequence::read(ByteReader& in,
                                         Model& model,
                                         const std::shared_ptr<const SequencePlan>& plan) {
  const int64_t length = in.number(0, std::numeric_limits<int32_t>::max(), "the first prompt");
  std::vector<int32_t> ids = in.list<int32_t>();
  in.require(std::ssize(ids) <= plan->max_tokens(), "more tokens than the model's context");
  for (const int32_t id : ids) in.require(id >= 0 && id < model.vocab(), "a token id out of range");
  auto sequence = std::make_shared<Sequence>(model.read_sequence(plan, in, std::ssize(ids)),
                                             plan->max_tokens());
  sequence->length_ = length;
  sequence->ids_ = std::move(ids);
  sequence->prompts_ = read_prompts(in, sequence->tokens(), std::numeric_limits<int64_t>::max());
  return sequence;
}

}  // namespace dms::engine
