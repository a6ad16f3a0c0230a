#pragma once
// One sequence's KV cache: a HeadCache per (layer, KV head), the fates of all tokens, and what it
// takes to go on, go back and branch. Exactness: semantics.md section 1. Engine thread only, but
// for gather().

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/memory_shortage.h"
#include "cache/cache_pools.h"
#include "cache/head_cache.h"
#include "cache/layer_plan.h"
#include "cache/view.h"
#include "dms/error.h"
#include "kernels/alibi.h"

namespace dms::cache {

/// Tokens beyond the window that stay exact, so that up to this many can be taken back at once.
inline constexpr int64_t kRollbackTokens = 32;

struct CacheShape {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t group = 1;                // query heads per KV head
  float attention_scale = 1.0f;     // multiplies q . k
  float attention_soft_cap = 0.0f;  // scaled scores become cap * tanh(score / cap); 0: they stay
  kernels::Alibi alibi{};
  kernels::KvFormat window_format = kernels::KvFormat::bf16;
  kernels::PageFormat survivor_format = kernels::KvFormat::bf16;
  int64_t exact_layers = 0;  // first and last layers whose survivors have window_format
  std::vector<int64_t> sliding_window{};  // per layer, 0: none; empty: none anywhere
};

inline kernels::KvPageLayout page_layout(const CacheShape& shape,
                                         const kernels::PageFormat& format) {
  return {.format = format, .head_dim = shape.head_dim};
}

inline kernels::KvPageLayout survivor_layout(const CacheShape& shape, int64_t layer) {
  const bool is_exact = std::min(layer, shape.layers - 1 - layer) < shape.exact_layers;
  return page_layout(shape, is_exact ? shape.window_format : shape.survivor_format);
}

/// Entries and bytes of a sequence; see KvStats in dms/llm.h for the meaning.
struct CacheUsage {
  int64_t dense_tokens = 0;
  int64_t held_tokens = 0;
  int64_t dense_bytes = 0;
  int64_t allocated_bytes = 0;
  int64_t peak_page_bytes = 0;                      // of all sequences that share the pools, and
                                                    // what counts with them
  int64_t peak_table_bytes = 0;                     // of this one, what does not
  std::vector<std::vector<int64_t>> held_per_head;  // [layers][kv_heads]
};

class SequenceCache;

/// What the next pass appends to one sequence.
struct Growth {
  const SequenceCache* cache = nullptr;
  int64_t tokens = 0;
  int64_t branch_tokens = 0;  // a branch appends so many after them, and goes
};

/// Whether all parts of a pass together are sure to find memory, whatever is evicted; the pools
/// then keep it for the pass. Asked before each, so that none fails half-way. The sequences share
/// their pools.
bool reserve_memory(std::span<const Growth> parts);
/// What `tokens` tokens are expected to take of one head.
struct HeadPages {
  int64_t window = 0;
  int64_t survivors = 0;
};
HeadPages expected_head_pages(const Policy& policy, int64_t tokens);
/// Likewise of all.
PageDemand expected_pages(const CacheShape& shape, const Policy& policy, int64_t tokens);
/// Why reserve_memory() said no.
MemoryShortage memory_shortage(std::span<const Growth> parts);

class SequenceCache final : public SequenceView {
 public:
  /// Pools are shared with the other sequences of a model.
  SequenceCache(const CacheShape& shape,
                std::shared_ptr<CachePools> pools,
                std::shared_ptr<const Policy> policy);

  int64_t tokens() const override { return tokens_; }
  const Policy& policy() const override { return *policy_; }
  void append(const LayerChunk& chunk) override;
  void gather(int64_t layer,
              int64_t kv_head,
              int64_t first,
              int64_t positions,
              TilePages& out) const override;
  void finish_layer(int64_t layer) override;
  void commit(int64_t count) override;

  /// Adds the pages that a pass with `count` more tokens takes at most, whatever is evicted.
  void add_demand(int64_t count, PageDemand& demand) const;
  /// What the policy holds of it beside pages: digests, states, queries that are kept. Counts
  /// against the pools' limit as pages do.
  int64_t policy_bytes() const;
  /// The most they can be after `tokens` tokens. `state`: what policy.new_state() made, or null.
  static int64_t most_policy_bytes(const CacheShape& shape,
                                   const Policy& policy,
                                   const PolicyState* state,
                                   int64_t tokens);
  /// What policy_bytes() may grow by where the sequence has `tokens` tokens.
  int64_t policy_growth(int64_t tokens) const;
  /// Likewise of a branch after that pass, which appends its tokens some hundred a pass.
  void add_branch_demand(const Growth& growth, PageDemand& demand) const;
  CachePools& pools() const { return *pools_; }
  /// Takes the pages that `tokens` tokens will need by the policy's estimate. Throws RunError.
  void preallocate(int64_t tokens);

  /// Most tokens that the next pass may append: plans are carried out between passes.
  int64_t pass_limit() const;

  /// Where a plan waits for a replay of all tokens from there on (PolicyNeeds::replay), since the
  /// last pass; nothing: none waits.
  std::optional<int64_t> replay_from() const { return replay_from_; }
  /// Whether a plan after `end` tokens that is carried out again waits for one as well.
  bool replays_again(int64_t end) const;
  /// What went wrong with a plan or its replay since the last restart(); null: nothing did. The
  /// sequence is then to be restarted.
  std::exception_ptr failure() const { return failure_; }
  void fail(std::exception_ptr failure) { failure_ = std::move(failure); }
  /// Carries out the plan that waits. `scores`: [layers, kv_heads, tokens() - *replay_from()],
  /// logs.
  void finish_plan(std::span<const float> scores);
  /// Of one head's entries those of the tokens [begin, end) that the next token sees: what has left
  /// a sliding window may be there or not.
  StoredRows seen_rows(
      int64_t layer, int64_t kv_head, int64_t begin, int64_t end, bool with_values) const;

  /// Most tokens that may follow one more in a pass and be taken back: what that one and each of
  /// them attend lies where it would lie were they appended one by one.
  int64_t draft_limit() const;

  /// Whether truncate(tokens) is possible without recomputation.
  bool can_truncate(int64_t tokens) const;
  /// Forgets all but the first `tokens` tokens; needs can_truncate(tokens).
  void truncate(int64_t tokens);
  /// Forgets every entry; the fates of the first `tokens` tokens, and the plans carried out up to
  /// there, stay and will be replayed when the same tokens are appended again.
  void restart(int64_t tokens);

  /// Throws MemoryShortage where what the policy holds, which no copy shares, finds no room.
  std::unique_ptr<SequenceCache> fork() const;
  /// A copy as restart(tokens()) leaves it.
  std::unique_ptr<SequenceCache> fork_decisions() const;
  /// After restart(), where other tokens than before follow: forgets plans and prompts after
  /// tokens().
  void forget_later_plans();

  /// Everything it holds, to go on later as if never interrupted.
  void write(ByteWriter& out) const;
  /// What write() wrote of a cache of the same shape and policy with `tokens` tokens, into an empty
  /// one. Throws InputError where it can't be that, RunError at the memory limit; the cache is then
  /// to be dropped.
  void read(ByteReader& in, int64_t tokens);

  /// Of the pages it refers to, and policy_bytes().
  int64_t held_bytes() const;
  /// Likewise of what read() makes of what write() wrote.
  int64_t saved_bytes() const;
  CacheUsage usage() const;
  /// uint8 [layers, kv_heads, tokens]: 1 = the token's own fate is eviction.
  std::vector<uint8_t> decisions() const;
  /// [tokens]: in how many heads of all layers each token is held; their sum is
  /// usage().held_tokens, but for what heads hold as a digest.
  std::vector<int32_t> held_heads() const;

 private:
  struct LayerState {
    std::vector<HeadCache> heads;
    int64_t decided_end = 0;  // fates of tokens below are settled
    int64_t seen_end = 0;     // the policy's state has seen tokens below
    Visibility visibility;
    QueryRing queries{0, 0};
    std::unique_ptr<PolicyState> policy_state;  // where the policy has one
  };
  /// What the pass under way appends.
  struct Pass {
    int64_t tokens = 0;
    int64_t ended_prompt = 0;
    bool decoded = false;
    int64_t rope_length = 0;
    const ValueProjection* projection = nullptr;
  };

  /// Pages that it refers to, by their bytes.
  PageDemand held_pages() const;
  HeadShape head_shape(int64_t layer) const;
  /// Queries that are kept: those of a plan, or of tokens that may yet be taken back.
  static int64_t kept_queries(const Policy& policy);
  static int64_t ring_width(const CacheShape& shape, const Policy& policy);
  static int64_t query_width(const CacheShape& shape) {
    return shape.kv_heads * shape.group * shape.head_dim;
  }
  bool saves_queries() const {
    return kept_queries(*policy_) > 0 && (policy_->interval() > 0 || policy_->needs().every_token);
  }
  void show_tokens(int64_t layer, int64_t end, const LayerChunk* chunk);
  void keep_queries(LayerState& state, const LayerChunk& chunk) const;
  std::vector<float> key_norms(const LayerChunk& chunk, int64_t first) const;
  void settle_fates(LayerState& state, const LayerChunk& chunk);
  bool is_planned(int64_t tokens) const;
  bool needs_plan() const;
  bool needs_replay() const;
  int64_t until_multiple(int64_t interval) const;
  int64_t ended_begin(int64_t end) const;
  void note_prompt(int64_t end, bool waits);
  void carry_out_plan(int64_t layer, int64_t end);
  void plan_over_model(LayerEntries entries);
  void pack_pages();
  int64_t exact_tokens(const LayerState& state) const;
  int64_t sealed_end(const LayerState& state, int64_t tokens) const;

  CacheShape shape_;
  std::shared_ptr<CachePools> pools_;
  std::shared_ptr<const Policy> policy_;
  std::vector<LayerState> layers_;
  int64_t tokens_ = 0;
  Pass pass_;
  std::vector<LayerEntries> entries_;  // of the layers so far, where a plan for all is due
  std::vector<int64_t> plans_;         // after how many tokens plans were carried out, rising
  int64_t computed_before_ = 0;        // tokens that a restart has computed again
  std::vector<PromptSpan> prompts_;    // by rising position; where the policy needs them
  std::optional<int64_t> replay_from_;
  std::exception_ptr failure_;
  CountedBytes counted_;  // policy_bytes() between passes
  mutable int64_t peak_table_bytes_ = 0;
};

}  // namespace dms::cache
