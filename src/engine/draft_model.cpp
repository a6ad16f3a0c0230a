#include "engine/draft_model.h"

#include <algorithm>
#include <exception>

namespace dms::engine {
namespace {

/// What its model has yet to compute of the text.
std::span<const int32_t> uncomputed(const DraftWish& wish) {
  return std::span(wish.text).subspan(static_cast<size_t>((*wish.sequence)->state().tokens()));
}

}  // namespace

DraftModel::DraftModel(Model& model, int64_t chunk_tokens)
    : model_(model), plan_(model.plan({})), chunk_tokens_(chunk_tokens) {}

/// The sequence holds what the text begins with, and less than all of it. False: the text is too
/// long for the model.
bool DraftModel::begin(DraftWish& wish) {
  std::unique_ptr<Sequence>& sequence = *wish.sequence;
  const auto length = std::ssize(wish.text);
  if (length + wish.count > plan_->max_tokens()) return false;
  if (!sequence) {
    sequence = std::make_unique<Sequence>(model_.new_sequence(plan_), plan_->max_tokens());
    sequence->begin_prompt(length);
  }
  const std::span<const int32_t> ids = sequence->ids();
  const auto same = std::ranges::mismatch(ids, wish.text).in1 - ids.begin();
  if (const int64_t kept = std::min(same, length - 1); kept < sequence->tokens()) {
    sequence->truncate(kept);
  }
  return true;
}

/// A pass over what the texts have more than the sequences. Who has all of it computed gets a
/// guess. False: there was no memory for it.
bool DraftModel::advance(std::span<DraftWish* const> wishes) {
  std::vector<Part> parts;
  for (const DraftWish* wish : wishes) {
    Sequence& sequence = **wish->sequence;
    const int64_t count = std::min(std::ssize(uncomputed(*wish)), chunk_tokens_);
    sequence.cross_border(model_, count);
    const std::span<const int32_t> left = uncomputed(*wish);
    const int64_t most = std::min({std::ssize(left), chunk_tokens_, sequence.state().pass_limit()});
    parts.push_back({.sequence = &sequence.state(),
                     .ids = left.first(static_cast<size_t>(most)),
                     .logits = most == std::ssize(left) ? LogitRows::last : LogitRows::none,
                     .length = sequence.length()});
  }
  if (!model_.reserve(parts)) return false;
  std::span<const float> logits = model_.forward(parts);
  for (const Part& part : parts) {
    if (const auto failure = part.sequence->failure()) std::rethrow_exception(failure);
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    (*wishes[i]->sequence)->record(parts[i].ids);
    if (parts[i].logits == LogitRows::none) continue;
    const auto row = logits.first(static_cast<size_t>(model_.vocab()));
    wishes[i]->text.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
    --wishes[i]->count;
    logits = logits.subspan(row.size());
  }
  return true;
}

void DraftModel::give_up(std::span<DraftWish* const> wishes) const {
  for (DraftWish* wish : wishes) wish->sequence->reset();
}

void DraftModel::guess(std::span<DraftWish> wishes) {
  std::vector<DraftWish*> open;
  try {
    for (DraftWish& wish : wishes) {
      if (begin(wish)) open.push_back(&wish);
    }
    while (!open.empty()) {
      if (!advance(open)) return give_up(open);
      // Who has more to catch up with goes on next time.
      std::erase_if(open, [](const DraftWish* wish) {
        return wish->count == 0 || std::ssize(uncomputed(*wish)) != 1;
      });
    }
  } catch (const std::exception&) {
    give_up(open);  // an answer does not depend on guesses
  }
}

}  // namespace dms::engine
