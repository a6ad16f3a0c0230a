#include "engine/prompt_sharing.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <ranges>
#include <set>
#include <string>

#include "base/check.h"
#include "dms/error.h"

namespace dms::engine {
namespace {

// Of a chunk: less is computed sooner than cut off as a piece of its own.
constexpr int64_t kLeastShare = 8;
// A piece is kept where its end passes a multiple of this share of the length: each keeps a window.
constexpr int64_t kShareOfLength = 8;

int64_t common_tokens(const Running& a, const Running& b) {
  const std::vector<int32_t>& left = a.request().prompt;
  const std::vector<int32_t>& right = b.request().prompt;
  return std::ranges::mismatch(left, right).in1 - left.begin();
}

}  // namespace

PromptSharing::PromptSharing(const Model& model, bool is_on, int64_t chunk_tokens)
    : model_(model), is_on_(is_on), least_tokens_(ceil_div(chunk_tokens, kLeastShare)) {}

bool PromptSharing::may_share(const Running& running) const {
  return is_on_ && running.is_owned() && running.plan().shares_prefixes();
}

/// Where the logits of the whole prompt are wanted all of it is computed.
bool PromptSharing::may_start_from_prefix(const Running& running) const {
  return may_share(running) && !running.has_begun() && !running.wants_all_rows();
}

/// What must be equal besides the ids: the plan, and the length that the RoPE is fixed for where it
/// depends on it, as those do that have a border, for what is longer than the border.
std::string PromptSharing::kind_of(const Running& running, int64_t length) const {
  const bool is_fixed = model_.length_border(length) != model_.length_border(0);
  return std::to_string(is_fixed ? length : 0) + " " + running.plan().name();
}

void PromptSharing::welcome(Running& running) const {
  if (may_share(running)) running.prefix_kind = kind_of(running, running.first_length());
}

bool PromptSharing::drop_unwanted(std::span<Running* const> next) {
  std::set<const SequenceState*> wanted;
  for (const Running* running : next | std::views::reverse) {
    if (!may_start_from_prefix(*running)) continue;
    wanted.insert(cache_.find(running->prefix_kind, running->request().prompt).snapshot);
  }
  wanted.erase(nullptr);
  // They are the last now in the order of use.
  return cache_.size() > std::ssize(wanted) && cache_.drop_oldest();
}

int64_t PromptSharing::spared_tokens(const Running& running) {
  if (!may_start_from_prefix(running)) return running.given_tokens();
  return std::max(cache_.find(running.prefix_kind, running.request().prompt).tokens,
                  running.given_tokens());
}

/// Where there can be no branch all is computed.
void PromptSharing::start_from(Running& running, const CachedPrefix& prefix) {
  try {
    running.start_from(prefix);
  } catch (const RunError&) {
    // As if nothing had been found.
  }
}

bool PromptSharing::begin(Running& running, std::span<Running* const> earlier) {
  if (!may_start_from_prefix(running)) return true;
  const CachedPrefix prefix = cache_.find(running.prefix_kind, running.request().prompt);
  for (Running* other : earlier) {
    if (!may_share(*other) || other->prefix_kind != running.prefix_kind) continue;
    const int64_t common =
        std::min(common_tokens(running, *other), std::ssize(running.request().prompt) - 1);
    const int64_t gained =
        common - std::max({prefix.tokens, running.given_tokens(), other->prompt_done()});
    if (gained < least_tokens_) continue;
    other->cut_prompt_at(common);
    return false;
  }
  const bool is_longer = prefix.tokens > running.given_tokens();
  if (prefix.snapshot != nullptr && is_longer) start_from(running, prefix);
  if (prefix.known_tokens - running.prompt_done() >= least_tokens_) {
    running.cut_prompt_at(prefix.known_tokens);
  }
  return true;
}

void PromptSharing::keep_piece(const Running& running, int64_t tokens) {
  if (!may_share(running) || !running.is_active()) return;
  const Sequence& sequence = running.sequence();
  const int64_t end = sequence.tokens();
  const int64_t step =
      std::max(static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(end))) / kShareOfLength,
               int64_t{1});
  const bool is_passed = end / step != (end - tokens) / step;
  if (running.is_in_prompt() && !running.is_at_cut() && !is_passed) return;
  const std::string kind = kind_of(running, sequence.length());
  if (cache_.contains(kind, sequence.ids())) return;
  try {
    cache_.insert(kind, sequence.ids(), sequence.state().fork());
  } catch (const std::exception&) {
    // It is then as if it had not been kept.
  }
}

void PromptSharing::keep_answer(const Running& running, Sequence& sequence) {
  if (!may_share(running) || sequence.tokens() == 0) return;
  cache_.insert(kind_of(running, sequence.length()), sequence.ids(), sequence.take_state());
}

}  // namespace dms::engine
