// Plans that are made from a replay of what has been read, and which tokens prompts were.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cache/sequence_cache.h"

namespace dms::cache {

/// Whether the plan due at the end of the pass under way is made from a replay, which is a pass of
/// its own. One that is carried out again knows what goes, but later ones may build on its scores.
bool SequenceCache::needs_replay() const {
  if (policy_->needs().replay == ReplayScore::none) return false;
  const int64_t end = tokens_ + pass_.tokens;
  return is_planned(end) ? replays_again(end) : pass_.ended_prompt > 0 && needs_plan();
}

bool SequenceCache::replays_again(int64_t end) const {
  return policy_->needs().replay != ReplayScore::none && policy_->interval() > 0 &&
         is_planned(end) && std::ranges::find(prompts_, end, &PromptSpan::end) != prompts_.end();
}

void SequenceCache::finish_plan(std::span<const float> scores) {
  ensure(replay_from_.has_value(), "a plan that waits");
  const int64_t first = *std::exchange(replay_from_, std::nullopt);
  const int64_t count = tokens_ - first;
  const auto of_layer = static_cast<size_t>(shape_.kv_heads * count);
  ensure(scores.size() == layers_.size() * of_layer, "a score for each token");
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    policy_->see_replay(
        {.first = first, .count = count, .scores = scores.subspan(layer * of_layer, of_layer)},
        *layers_[layer].policy_state);
  }
  for (int64_t layer = 0; layer < shape_.layers; ++layer) carry_out_plan(layer, tokens_);
  if (!is_planned(tokens_)) plans_.push_back(tokens_);
  pack_pages();
  if (policy_->interval() == 0) {
    for (LayerState& state : layers_) state.policy_state->restart();  // nobody asks again
  }
  counted_.set(policy_bytes());
}

StoredRows SequenceCache::seen_rows(
    int64_t layer, int64_t kv_head, int64_t begin, int64_t end, bool with_values) const {
  const LayerState& state = layers_[static_cast<size_t>(layer)];
  const int64_t sliding = state.visibility.sliding_window;
  if (sliding > 0) begin = std::max(begin, tokens_ - sliding + 1);
  return read_rows(
      state.heads[static_cast<size_t>(kv_head)], shape_.head_dim, begin, end, with_values);
}

/// The pass that ends after `end` tokens may end a prompt. `waits`: needs_replay().
void SequenceCache::note_prompt(int64_t end, bool waits) {
  if (pass_.ended_prompt > 0 && policy_->needs().prompts) {
    const int64_t begin = end - pass_.ended_prompt;
    cut_prompts(prompts_, begin);  // after a pass that failed it ends once more
    prompts_.push_back({.begin = begin, .end = end});
  }
  if (!waits) return;
  const auto prompt = std::ranges::find(prompts_, end, &PromptSpan::end);
  replay_from_ = policy_->first_ranked(prompt->begin);
}

void SequenceCache::forget_later_plans() {
  plans_.erase(std::ranges::upper_bound(plans_, tokens_), plans_.end());
  cut_prompts(prompts_, tokens_);
}

}  // namespace dms::cache
